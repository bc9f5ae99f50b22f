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

// Tensor cores: what kernels/cores.cuh declares. The layout of fragments is that of mma.m16n8k16 and mma.m16n8k8 in the
// PTX manual.
#define EMULATED
namespace emulator {
// toBF16 and toF16 round to the nearest, halves to even; toTF32 halves away from zero, as cvt.rna does.
inline uint32_t toBF16(float f) {
    uint32_t u = __float_as_uint(f);
    if (f != f) return 0x7fff;
    return (u + 0x7fff + (u >> 16 & 1)) >> 16;
}
inline uint32_t toF16(float f) {
    uint32_t u = __float_as_uint(f), sign = u >> 16 & 0x8000;
    if (f != f) return 0x7fff;
    float a = fabsf(f);
    if (a >= 65520.0f) return sign | 0x7c00;
    if (a < 0x1p-14f) return sign | (uint32_t)nearbyintf(a * 0x1p24f);
    u = __float_as_uint(a);
    return sign | ((u + 0xfff + (u >> 13 & 1)) >> 13) - (112 << 10);
}
inline uint32_t toTF32(float f) { return f != f ? 0x7fffffffu : (__float_as_uint(f) + 0x1000) & ~0x1fffu; }

inline float fromBF16(uint32_t h) { return __uint_as_float(h << 16); }
inline float fromF16(uint32_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    float a = exponent == 0 ? fraction * 0x1p-24f : ldexpf((float)(1024 + fraction), exponent - 25);
    if (exponent == 31) a = fraction ? NAN : INFINITY;
    return h & 0x8000 ? -a : a;
}
// The kinds as functions of a word that holds one or two numbers.
struct OfBF16 {
    static uint32_t pair(float low, float high) { return toBF16(low) | toBF16(high) << 16; }
    static float wide(uint32_t w, int i) { return fromBF16(w >> 16 * i & 0xffff); }
};
struct OfF16 {
    static uint32_t pair(float low, float high) { return toF16(low) | toF16(high) << 16; }
    static float wide(uint32_t w, int i) { return fromF16(w >> 16 * i & 0xffff); }
};
struct OfTF32 {
    static uint32_t pair(float low, float) { return toTF32(low); }
    static float wide(uint32_t w, int) { return __uint_as_float(w & ~0x1fffu); } // the hardware sees no more bits
};

// product is mma with PER numbers in a word: lane t has k = PER*t and so on in the first half of the words.
template <class Kind, int PER> void product(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    Exchange* e = exchange();
    int t = turn(), lane = threadIdx.x % 32;
    for (int i = 0; i < 4; i++) e->words[t][lane][i] = a[i];
    for (int i = 0; i < 2; i++) e->words[t][lane][4 + i] = b[i];
    wait(__LINE__, false);
    auto number = [=](int group, int word, int k, int half) { // element k of a row or a column
        return Kind::wide(e->words[t][group * 4 + k % (4 * PER) / PER][word + k / (4 * PER) * half], k % PER);
    };
    for (int r = 0; r < 4; r++)
        for (int k = 0; k < 8 * PER; k++)
            d[r] += number(lane / 4, r / 2, k, 2) * number(lane % 4 * 2 + r % 2, 4, k, 1);
}
} // namespace emulator

#define EMULATED_KIND(T)                                                                                           \
    template <> inline Word pairOf<T>(float low, float high) { return emulator::Of##T::pair(low, high); }          \
    template <> inline float wide<T>(Word w, int i) { return emulator::Of##T::wide(w, i); }                        \
    template <> inline void multiply<T>(float (&d)[4], const Word (&a)[4], const Word (&b)[2]) {                   \
        emulator::product<emulator::Of##T, T::PER>(d, a, b);                                                       \
    }
#define EMULATED_CORES EMULATED_KIND(BF16) EMULATED_KIND(F16) EMULATED_KIND(TF32)
