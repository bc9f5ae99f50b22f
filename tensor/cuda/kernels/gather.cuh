// What products of factors that are gathered from pictures have in common: shapes, places, and the end of a number.
// Pictures are [N,H,W,C], weights [O,taps,I]. C[m,n] = sum over k of A[m,k] B[k,n] is
//
//   FORWARD     m: pixel of y    n: O        k: (tap, I)             A: pixels of x      B: weight
//   TO_INPUT    m: pixel of x    n: I        k: (square, tap, O)     A: pixels of dy     B: weight
//   TO_WEIGHT   m: O             n: (tap, I) k: pixel of y           A: dy               B: pixels of x
//
// square counts the four pixels that an enlarged pixel of x stands for; there is one without Upsample.

enum { FORWARD, TO_INPUT, TO_WEIGHT };

struct Conv {
    int n, h, w, ci, oh, ow, co;
    int kh, kw, stride, top, left, up;
    int per; // of k in a part, a multiple of what a tile takes at a time
};

// Finish is what follows the sums: y = func(scale*(s+bias) + add), with a gate between halves of the columns.
struct Finish {
    float* y;
    float* part; // of the sums [parts][m][n], in place of y; or 0
    const float* bias;
    const float* add;
    float scale;
    int gated, func;
};

struct Sides { int m, n, k; };

template <int MODE> __device__ __forceinline__ Sides sidesOf(const Conv& c) {
    int taps = c.kh * c.kw;
    Sides s;
    if (MODE == FORWARD) { s.m = c.n * c.oh * c.ow; s.n = c.co; s.k = taps * c.ci; }
    if (MODE == TO_INPUT) { s.m = c.n * c.h * c.w; s.n = c.ci; s.k = (c.up ? 4 : 1) * taps * c.co; }
    if (MODE == TO_WEIGHT) { s.m = c.co; s.n = taps * c.ci; s.k = c.n * c.oh * c.ow; }
    return s;
}

// Pixel is a row of gathered numbers: a pixel whose window starts at (y, x) of picture item.
struct Pixel { int item, y, x; };

__device__ __forceinline__ Pixel windowOf(const Conv& c, int p) { // of pixel p of y
    Pixel q;
    q.x = p % c.ow * c.stride - c.left;
    p /= c.ow;
    q.y = p % c.oh * c.stride - c.top;
    q.item = p / c.oh;
    return q;
}

// element of x that the window q sees at a tap, or -1.
__device__ __forceinline__ Index inputAt(const Conv& c, Pixel q, int tap, int channel) {
    int r = q.y + tap / c.kw, s = q.x + tap % c.kw;
    if (r < 0 || s < 0) return -1;
    if (c.up) { r >>= 1; s >>= 1; }
    if (r >= c.h || s >= c.w) return -1;
    return ((Index)(q.item * c.h + r) * c.w + s) * c.ci + channel;
}

// element of dy whose window sees pixel q of x at (square, tap), or -1.
__device__ __forceinline__ Index outputAt(const Conv& c, Pixel q, int squareTap, int channel) {
    int taps = c.kh * c.kw, tap = squareTap % taps, square = squareTap / taps;
    int r = q.y, s = q.x;
    if (c.up) { r = 2 * r + square / 2; s = 2 * s + square % 2; }
    r += c.top - tap / c.kw;
    s += c.left - tap % c.kw;
    if (r < 0 || s < 0 || r % c.stride || s % c.stride) return -1;
    r /= c.stride;
    s /= c.stride;
    if (r >= c.oh || s >= c.ow) return -1;
    return ((Index)(q.item * c.oh + r) * c.ow + s) * c.co + channel;
}

// column of C that column j of a tile has, or -1. With a gate the second half of the tile goes with the first.
template <int BN> __device__ __forceinline__ int columnOf(int j, int n, int gated) {
    if (!gated) {
        int at = blockIdx.y * BN + j;
        return at < n ? at : -1;
    }
    int at = blockIdx.y * (BN / 2) + j % (BN / 2);
    return at >= n / 2 ? -1 : j < BN / 2 ? at : at + n / 2;
}

__device__ __forceinline__ float4 zero4() {
    float4 v;
    v.x = v.y = v.z = v.w = 0.0f;
    return v;
}

__device__ __forceinline__ float4 load4(const float* p) { return *(const float4*)p; }

// elementA is the place of A[m, k] in pictures, or -1; q is the pixel m.
template <int MODE> __device__ __forceinline__ Index elementA(const Conv& c, Pixel q, int k) {
    if (MODE == FORWARD) return inputAt(c, q, k / c.ci, k % c.ci);
    return outputAt(c, q, k / c.co, k % c.co);
}

// fourA is A[m, k..k+3], or A[m..m+3, k] where MODE is TO_WEIGHT, zeros outside. With FOURS channels come in whole
// fours, which lie side by side.
template <int MODE, bool FOURS>
__device__ __forceinline__ float4 fourA(const Conv& c, const float* a, Pixel q, int m, int k, int to) {
    float4 v = zero4();
    float* f = &v.x;
    if (k >= to) return v;
    if (MODE == TO_WEIGHT) {
        const float* p = a + (Index)k * c.co + m;
        if (FOURS) return m < c.co ? load4(p) : v;
        for (int i = 0; i < 4; i++)
            if (m + i < c.co) f[i] = p[i];
        return v;
    }
    if (q.item < 0) return v;
    if (FOURS) {
        Index at = elementA<MODE>(c, q, k);
        return at < 0 ? v : load4(a + at);
    }
    for (int i = 0; i < 4; i++) {
        Index at = k + i < to ? elementA<MODE>(c, q, k + i) : -1;
        if (at >= 0) f[i] = a[at];
    }
    return v;
}

// fourB is B[k..k+3, n] where MODE is FORWARD, else B[k, n..n+3], zeros outside; n is negative outside of C.
template <int MODE, bool FOURS>
__device__ __forceinline__ float4 fourB(const Conv& c, const float* b, Sides s, int n, int k, int to) {
    float4 v = zero4();
    float* f = &v.x;
    if (n < 0 || k >= to) return v;
    if (MODE == FORWARD) {
        const float* p = b + (Index)n * s.k + k;
        if (FOURS) return load4(p);
        for (int i = 0; i < 4; i++)
            if (k + i < to) f[i] = p[i];
        return v;
    }
    if (MODE == TO_INPUT) {
        int taps = c.kh * c.kw;
        const float* p = b + ((Index)(k % c.co) * taps + k / c.co % taps) * c.ci + n;
        if (FOURS) return load4(p);
        for (int i = 0; i < 4; i++)
            if (n + i < c.ci) f[i] = p[i];
        return v;
    }
    Pixel q = windowOf(c, k);
    if (FOURS) {
        Index at = inputAt(c, q, n / c.ci, n % c.ci);
        return at < 0 ? v : load4(b + at);
    }
    for (int i = 0; i < 4; i++) {
        Index at = n + i < s.n ? inputAt(c, q, (n + i) / c.ci, (n + i) % c.ci) : -1;
        if (at >= 0) f[i] = b[at];
    }
    return v;
}

// finished is the end of one number. The product and the sum are rounded one by one, as operations of their own are.
__device__ __forceinline__ float finished(const Finish& e, float v, float gate, int column, int half, Index at) {
    if (e.bias) v += e.bias[column];
    v = __fmul_rn(v, e.scale);
    if (e.gated) {
        if (e.bias) gate += e.bias[column + half];
        v = __fmul_rn(v, gelu(__fmul_rn(gate, e.scale)));
    }
    if (e.add) v = __fadd_rn(v, e.add[at]);
    return apply(e.func, v);
}

// placeOf is where C[m, n] lies in the result: gradients of weights have the order of files, [O,I,taps].
template <int MODE> __device__ __forceinline__ Index placeOf(const Conv& c, int m, int n, int width) {
    if (MODE != TO_WEIGHT) return (Index)m * width + n;
    return ((Index)m * c.ci + n % c.ci) * (c.kh * c.kw) + n / c.ci;
}

// finish ends rows of a tile that lie in shared memory, with whole warps on neighbouring columns. rowOf gives the
// row of C that a row of it is, without a bound.
template <int MODE, int BN, class RowOf>
__device__ __forceinline__ void finish(const Conv& c, const Finish& e, const Sides& s, const float* tile, int rows,
                                       RowOf rowOf) {
    const int width = e.gated && !e.part ? BN / 2 : BN, half = s.n / 2;
#pragma unroll 1
    for (int u = threadIdx.x; u < rows * width; u += 256) {
        int r = u / width, j = u % width, m = rowOf(r), n = columnOf<BN>(j, s.n, e.gated);
        if (m >= s.m || n < 0) continue;
        float v = tile[r * BN + j];
        if (e.part) {
            e.part[((Index)blockIdx.z * s.m + m) * s.n + n] = v;
        } else {
            Index at = e.gated ? (Index)m * half + n : placeOf<MODE>(c, m, n, s.n);
            e.y[at] = finished(e, v, e.gated ? tile[r * BN + j + BN / 2] : 0.0f, n, half, at);
        }
    }
}
