// Products of tensor cores.

typedef unsigned int Word;
typedef unsigned short Half;

#ifndef EMULATED
// pairOf rounds two numbers to bfloat16.
__device__ __forceinline__ Word pairOf(float low, float high) {
    Word w;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low));
    return w;
}

// multiply: d[16,8] += a[16,16] b[16,8], by the 32 lanes of a warp together. With g = lane/4 and t = lane%4, a lane
// has in a: rows g and g+8 at k = 2t, 2t+1, and the same at k+8; in b: column g at k = 2t, 2t+1, and at k+8; in d:
// row g at columns 2t and 2t+1, and row g+8.
__device__ __forceinline__ void multiply(float (&d)[4], const Word (&a)[4], const Word (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif
