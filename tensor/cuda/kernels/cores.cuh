// Products of tensor cores, by the kind of their factors; sums are float32.

typedef unsigned int Word;
typedef unsigned short Half;

// Kinds of factors. PER of them are in a word.
struct BF16 { enum { PER = 2 }; }; // 8 bits of exponent, 7 of fraction
struct F16 { enum { PER = 2 }; };  // 5 and 10: more exact, but for numbers below 6e-5, and none above 65504
struct TF32 { enum { PER = 1 }; }; // 8 and 10

// pairOf<T> rounds two numbers to a word, of TF32 the first alone. multiply<T>: d[16,8] += a[16,K] b[K,8], by the 32
// lanes of a warp together, K = 8 PER. With g = lane/4 and t = lane%4, a word holds k = PER t, and what follows, or
// the same at K/2 more; a lane has in a: rows g and g+8, and both again at K/2; in b: column g, and at K/2; in d: row
// g at columns 2t and 2t+1, and row g+8. wide<T> is half i of a word as float32.
template <class T> __device__ __forceinline__ Word pairOf(float low, float high);
template <class T> __device__ __forceinline__ void multiply(float (&d)[4], const Word (&a)[4], const Word (&b)[2]);
template <class T> __device__ __forceinline__ float wide(Word w, int i);

#ifdef EMULATED
EMULATED_CORES
#else
#define KIND(T, CONVERT, ARGUMENTS, MMA)                                                                           \
    template <> __device__ __forceinline__ Word pairOf<T>(float low, float high) {                                 \
        Word w;                                                                                                    \
        asm(CONVERT : "=r"(w) : ARGUMENTS "f"(low));                                                               \
        return w;                                                                                                  \
    }                                                                                                              \
    template <> __device__ __forceinline__ void multiply<T>(float (&d)[4], const Word (&a)[4], const Word (&b)[2]) { \
        asm("mma.sync.aligned." MMA " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                       \
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                       \
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                                   \
    }
#define HIGH "f"(high),
#define NOTHING
KIND(BF16, "cvt.rn.bf16x2.f32 %0, %1, %2;", HIGH, "m16n8k16.row.col.f32.bf16.bf16.f32")
KIND(F16, "cvt.rn.f16x2.f32 %0, %1, %2;", HIGH, "m16n8k16.row.col.f32.f16.f16.f32")
KIND(TF32, "cvt.rna.tf32.f32 %0, %1;", NOTHING, "m16n8k8.row.col.f32.tf32.tf32.f32")

template <> __device__ __forceinline__ float wide<BF16>(Word w, int i) {
    return __uint_as_float(i ? w & 0xffff0000u : w << 16);
}
template <> __device__ __forceinline__ float wide<F16>(Word w, int i) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"((Half)(w >> 16 * i)));
    return f;
}
#endif
