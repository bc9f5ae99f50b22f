// What the kernels need of CUDA C, for the processor: each thread of a block is a fiber with a stack of its own,
// blocks run one after the other. A fiber runs until it comes to a barrier, of its block or of its warp, or to its
// end. Threads that wait at different barriers, which hangs a GPU or worse, end the program with a message.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static // blocks run one at a time
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __restrict__

struct float4 { float x, y, z, w; };
struct Dim { unsigned x, y, z; };
extern Dim threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {
// What lanes of a warp exchange; two sets in turns, so that one wait is enough.
struct Exchange { uint32_t words[2][32][8]; };
Exchange* exchange(); // of the warp that runs
int turn();           // 0 and 1 in turns, for each thread
void wait(int line, bool block);

template <class T> T shuffle(T v, int lane, int line) {
    static_assert(sizeof(T) == 4, "a register");
    Exchange* e = exchange();
    int t = turn();
    memcpy(&e->words[t][threadIdx.x % 32][0], &v, 4);
    wait(line, false);
    memcpy(&v, &e->words[t][lane % 32][0], 4);
    return v;
}
} // namespace emulator

#define __syncthreads() emulator::wait(__LINE__, true)
#define __syncwarp(...) emulator::wait(__LINE__, false)
#define __shfl_xor_sync(mask, v, d) emulator::shuffle(v, (threadIdx.x % 32) ^ (d), __LINE__)

// Rounded one by one: never part of a fused multiply-add.
inline float __fmul_rn(float a, float b) { volatile float r = a * b; return r; }
inline float __fadd_rn(float a, float b) { volatile float r = a + b; return r; }
inline uint32_t __float_as_uint(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
inline float __uint_as_float(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }

// Registration of a kernel under its name, for the driver.
namespace emulator {
struct Kernel {
    const char* name;
    size_t words;                                    // of its arguments, when they are kept
    void (*keep)(void* to, void** arguments);        // copies them, as a launch does
    void (*run)(const void* kept);                   // one thread
    Kernel* next;
    static Kernel* first;
};
} // namespace emulator

// Tensor cores.
#define EMULATED
inline uint32_t pairOf(float low, float high) {
    auto rounded = [](float f) -> uint32_t {
        uint32_t u = __float_as_uint(f);
        if (f != f) return 0x7fc0;
        return (u + 0x7fff + (u >> 16 & 1)) >> 16;
    };
    return rounded(low) | rounded(high) << 16;
}
namespace emulator {
// number is element k of a pair of words that hold k = 2t, 2t+1 of lane t.
inline float number(const Exchange* e, int turn, int group, int word, int k) {
    uint32_t w = e->words[turn][group * 4 + k % 8 / 2][word + k / 8 * (word < 4 ? 2 : 1)];
    return __uint_as_float((k % 2 ? w >> 16 : w) << 16);
}
} // namespace emulator
// The layout of fragments is that of mma.m16n8k16 in the PTX manual.
inline void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    emulator::Exchange* e = emulator::exchange();
    int turn = emulator::turn(), lane = threadIdx.x % 32;
    for (int i = 0; i < 4; i++) e->words[turn][lane][i] = a[i];
    for (int i = 0; i < 2; i++) e->words[turn][lane][4 + i] = b[i];
    emulator::wait(__LINE__, false);
    for (int r = 0; r < 4; r++)
        for (int k = 0; k < 16; k++)
            d[r] += emulator::number(e, turn, lane / 4, r / 2, k) *
                    emulator::number(e, turn, lane % 4 * 2 + r % 2, 4, k);
}
