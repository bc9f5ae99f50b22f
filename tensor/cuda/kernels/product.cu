// Convolutions, forward and back, as matrix products C[m,n] = sum over k of A[m,k] B[k,n] whose factors are gathered from
// pictures while they are loaded (implicit GEMM). Pictures are [N,H,W,C], weights [O,taps,I].
//
//   FORWARD     m: pixel of y    n: O        k: (tap, I)             A: pixels of x      B: weight
//   TO_INPUT    m: pixel of x    n: I        k: (square, tap, O)     A: pixels of dy     B: weight
//   TO_WEIGHT   m: O             n: (tap, I) k: pixel of y           A: dy               B: pixels of x
//
// square counts the four pixels that an enlarged pixel of x stands for; there is one without Upsample. A block of 256
// threads makes a tile of BM x BN, a thread TM x TN numbers of it: rows and columns in two groups each, half a tile
// apart. The tiles of the factors are in shared memory twice: one is read while the next one is fetched. Where there are
// few tiles the sum over k is cut in parts, which convEnd adds up in order.

enum { FORWARD, TO_INPUT, TO_WEIGHT };

struct Conv {
    int n, h, w, ci, oh, ow, co;
    int kh, kw, stride, top, left, up;
    int per; // of k in a part, a multiple of BK
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

#define BK 16

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

// fetch reads N neighbours.
template <int N> __device__ __forceinline__ void fetch(float* to, const float* from) {
    if (N == 4) *(float4*)to = *(const float4*)from;
    else
        for (int i = 0; i < N; i++) to[i] = from[i];
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

template <int MODE, int BM, int BN, int TM, int TN>
__device__ __forceinline__ void store(const Conv& c, const Finish& e, Sides s, float (&sum)[TM][TN], int ty, int tx) {
    const int HM = TM / 2, HN = TN / 2;
    int half = s.n / 2;
    for (int i = 0; i < TM; i++) {
        int m = blockIdx.x * BM + (i < HM ? 0 : BM / 2) + ty * HM + i % HM;
        if (m >= s.m) continue;
        for (int j = 0; j < TN; j++) {
            int n = columnOf<BN>((j < HN ? 0 : BN / 2) + tx * HN + j % HN, s.n, e.gated);
            if (n < 0) continue;
            if (e.part) e.part[((Index)blockIdx.z * s.m + m) * s.n + n] = sum[i][j];
            else if (!e.gated) {
                Index at = placeOf<MODE>(c, m, n, s.n);
                e.y[at] = finished(e, sum[i][j], 0.0f, n, 0, at);
            } else if (j < HN) {
                Index at = (Index)m * half + n;
                e.y[at] = finished(e, sum[i][j], sum[i][j + HN], n, half, at);
            }
        }
    }
}

template <int MODE, bool FOURS, int BM, int BN, int TM, int TN>
__device__ __forceinline__ void product(const float* a, const float* b, const Conv& c, const Finish& e) {
    __shared__ __align__(16) float as[2][BK][BM + 4];
    __shared__ __align__(16) float bs[2][BK][BN + 4];
    const int UA = BM * BK / 1024, UB = BN * BK < 1024 ? 1 : BN * BK / 1024; // fours that a thread fetches
    const int HM = TM / 2, HN = TN / 2;
    const Sides s = sidesOf<MODE>(c);
    const int t = threadIdx.x, ty = t / 16, tx = t % 16;
    const int from = blockIdx.z * c.per, to = imin(s.k, from + c.per);
    // Where the fours of this thread lie: (row, place along k) of both tiles.
    int rowA[UA], rowB[UB], atA[UA], atB[UB];
    Pixel pixel[UA];
#pragma unroll
    for (int u = 0; u < UA; u++) {
        int i = t + 256 * u;
        bool along = MODE != TO_WEIGHT; // k
        rowA[u] = along ? i / (BK / 4) : i % (BM / 4) * 4;
        atA[u] = along ? i % (BK / 4) * 4 : i / (BM / 4);
        int m = blockIdx.x * BM + rowA[u];
        pixel[u].item = -1;
        if (m < s.m && MODE == FORWARD) pixel[u] = windowOf(c, m);
        if (m < s.m && MODE == TO_INPUT) {
            pixel[u].x = m % c.w;
            pixel[u].y = m / c.w % c.h;
            pixel[u].item = m / c.w / c.h;
        }
    }
    int columnB[UB];
#pragma unroll
    for (int u = 0; u < UB; u++) {
        int i = t + 256 * u;
        bool along = MODE == FORWARD;
        rowB[u] = along ? i / (BK / 4) : i % (BN / 4) * 4;
        atB[u] = along ? i % (BK / 4) * 4 : i / (BN / 4);
        bool inside = along ? rowB[u] < BN : atB[u] < BK;
        columnB[u] = inside ? columnOf<BN>(rowB[u], s.n, MODE == FORWARD && e.gated) : -1;
        if (!inside) rowB[u] = -1;
    }
    float4 nextA[UA], nextB[UB];
    float sum[TM][TN];
    for (int i = 0; i < TM; i++)
        for (int j = 0; j < TN; j++) sum[i][j] = 0.0f;
    for (int k = from, now = 0; k < to + BK; k += BK, now ^= 1) {
        // The tile at k is fetched while the one before it, if there is one, is multiplied.
        if (k < to) {
#pragma unroll
            for (int u = 0; u < UA; u++)
                nextA[u] = fourA<MODE, FOURS>(c, a, pixel[u], blockIdx.x * BM + rowA[u], k + atA[u], to);
#pragma unroll
            for (int u = 0; u < UB; u++) nextB[u] = fourB<MODE, FOURS>(c, b, s, columnB[u], k + atB[u], to);
        }
        if (k > from) {
#pragma unroll 4
            for (int q = 0; q < BK; q++) {
                float x[TM], w[TN];
                fetch<HM>(x, &as[now ^ 1][q][ty * HM]);
                fetch<HM>(x + HM, &as[now ^ 1][q][BM / 2 + ty * HM]);
                fetch<HN>(w, &bs[now ^ 1][q][tx * HN]);
                fetch<HN>(w + HN, &bs[now ^ 1][q][BN / 2 + tx * HN]);
#pragma unroll
                for (int i = 0; i < TM; i++)
#pragma unroll
                    for (int j = 0; j < TN; j++) sum[i][j] += x[i] * w[j];
            }
        }
        if (k < to) {
#pragma unroll
            for (int u = 0; u < UA; u++) {
                const float* f = &nextA[u].x;
                if (MODE == TO_WEIGHT) *(float4*)&as[now][atA[u]][rowA[u]] = nextA[u];
                else
                    for (int i = 0; i < 4; i++) as[now][atA[u] + i][rowA[u]] = f[i];
            }
#pragma unroll
            for (int u = 0; u < UB; u++) {
                const float* f = &nextB[u].x;
                if (rowB[u] < 0) continue;
                if (MODE != FORWARD) *(float4*)&bs[now][atB[u]][rowB[u]] = nextB[u];
                else
                    for (int i = 0; i < 4; i++) bs[now][atB[u] + i][rowB[u]] = f[i];
            }
            __syncthreads();
        }
    }
    store<MODE, BM, BN, TM, TN>(c, e, s, sum, ty, tx);
}

// Tiles for large results, for small ones, for those of few columns, and for channels that do not come in fours.
#define TILES(NAME, MODE)                                                                                          \
    KERNEL __launch_bounds__(256) NAME##128(const float* a, const float* b, Conv c, Finish e) {                    \
        product<MODE, true, 128, 128, 8, 8>(a, b, c, e);                                                           \
    }                                                                                                              \
    KERNEL __launch_bounds__(256) NAME##64(const float* a, const float* b, Conv c, Finish e) {                     \
        product<MODE, true, 64, 64, 4, 4>(a, b, c, e);                                                             \
    }                                                                                                              \
    KERNEL __launch_bounds__(256) NAME##32(const float* a, const float* b, Conv c, Finish e) {                     \
        product<MODE, true, 128, 32, 8, 2>(a, b, c, e);                                                            \
    }                                                                                                              \
    KERNEL __launch_bounds__(256) NAME##Odd(const float* a, const float* b, Conv c, Finish e) {                    \
        product<MODE, false, 64, 64, 4, 4>(a, b, c, e);                                                            \
    }

TILES(convForward, FORWARD)
TILES(convToInput, TO_INPUT)
TILES(convToWeight, TO_WEIGHT)

// convEnd adds up parts[parts][m][n] and finishes; count is the elements of the result.
KERNEL convEnd(const float* parts, int many, int n, Index all, Finish e, Index count) {
    int half = e.gated ? n / 2 : 0, width = e.gated ? half : n;
    EACH(i, count) {
        int column = i % width;
        const float* p = parts + i / width * n + column;
        float v = 0.0f, gate = 0.0f;
        for (int k = 0; k < many; k++) {
            v += p[k * all];
            if (e.gated) gate += p[k * all + half];
        }
        e.y[i] = finished(e, v, gate, column, half, i);
    }
}

// convWeightEnd does it for the gradient of a weight: to [O,I,taps] from parts[parts][O][taps][I].
KERNEL convWeightEnd(float* dw, const float* parts, int many, int inputs, int taps, Index count) {
    EACH(i, count) {
        float v = 0.0f;
        for (int k = 0; k < many; k++) v += parts[k * count + i];
        Index q = i / inputs;
        dw[(q / taps * inputs + i % inputs) * taps + q % taps] = v;
    }
}
