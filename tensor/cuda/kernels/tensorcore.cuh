// Convolutions, forward and to the input, on tensor cores: factors rounded to a kind of cores.cuh, sums in float32.
// What is stored between operations is float32; weights are of the kind S, [O,taps,I], or float32 where that is TF32.
// Channels come in fours.
//
// A block of 8 warps makes a tile of BM x BN, from tiles of the factors that hold words of k. A warp makes 32 rows;
// its columns are of both halves of the tile, so that a thread has what a gate takes together.

#define ROW 16          // words of a row
#define WORDS (ROW + 4) // 4 of them unused, so that the rows of a fragment lie in different banks

// Stored is four weights: two words of halves, or four numbers.
struct Two { Word x, y; };
template <class S> struct Weights { typedef Half Element; typedef Two Stored; };
template <> struct Weights<TF32> { typedef float Element; typedef float4 Stored; };

__device__ __forceinline__ void clear(Two& v) { v.x = v.y = 0; }
__device__ __forceinline__ void clear(float4& v) { v = zero4(); }

// weights is B[k..k+3, n] where MODE is FORWARD, else B[k, n..n+3], zeros outside.
template <class S, int MODE>
__device__ __forceinline__ typename Weights<S>::Stored weights(const Conv& c, const typename Weights<S>::Element* b,
                                                               const Sides& s, int n, int k, int to) {
    typedef typename Weights<S>::Stored Stored;
    Stored v;
    clear(v);
    if (n < 0 || k >= to) return v;
    if (MODE == FORWARD) return *(const Stored*)(b + (Index)n * s.k + k);
    int taps = c.kh * c.kw;
    return *(const Stored*)(b + ((Index)(k % c.co) * taps + k / c.co % taps) * c.ci + n);
}

// along puts four weights, or numbers, that follow each other along k into a row as words of the kind T.
template <class S, class T> __device__ __forceinline__ void along(Word* p, float4 v) {
    if (T::PER == 1) {
        p[0] = pairOf<T>(v.x, 0.0f);
        p[1] = pairOf<T>(v.y, 0.0f);
        p[2] = pairOf<T>(v.z, 0.0f);
        p[3] = pairOf<T>(v.w, 0.0f);
    } else {
        p[0] = pairOf<T>(v.x, v.y);
        p[1] = pairOf<T>(v.z, v.w);
    }
}
template <class S, class T> __device__ __forceinline__ void along(Word* p, Two v) {
    p[0] = v.x;
    p[1] = v.y;
}

// down puts weights at one k into four rows: halves of words, which S = F16 are multiplied as T = BF16.
template <class S, class T> __device__ __forceinline__ void down(Word (*rows)[WORDS], int k, float4 v) {
    rows[0][k] = pairOf<T>(v.x, 0.0f);
    rows[1][k] = pairOf<T>(v.y, 0.0f);
    rows[2][k] = pairOf<T>(v.z, 0.0f);
    rows[3][k] = pairOf<T>(v.w, 0.0f);
}
template <class S, class T> struct Turn {
    static __device__ __forceinline__ Word of(Word w) { return pairOf<T>(wide<S>(w, 0), wide<S>(w, 1)); }
};
template <class T> struct Turn<T, T> {
    static __device__ __forceinline__ Word of(Word w) { return w; }
};
template <class S, class T> __device__ __forceinline__ void down(Word (*rows)[WORDS], int k, Two v) {
    Half* p = (Half*)&rows[0][0] + k;
    Word x = Turn<S, T>::of(v.x), y = Turn<S, T>::of(v.y);
    p[0] = (Half)x;
    p[2 * WORDS] = (Half)(x >> 16);
    p[4 * WORDS] = (Half)y;
    p[6 * WORDS] = (Half)(y >> 16);
}

// S is the kind that weights are stored in, T that of the product.
template <class S, class T, int MODE, int BM, int BN>
__device__ __forceinline__ void cores(const float* a, const typename Weights<S>::Element* b, const Conv& c,
                                      const Finish& e) {
    const int BK = ROW * T::PER;
    __shared__ __align__(16) Word as[2][BM][WORDS];
    __shared__ __align__(16) Word bs[2][BN][WORDS];
    const int UA = BM * BK / 1024, UB = BN * BK / 1024; // fours that a thread fetches
    const int DOWN = BM / 32, ACROSS = 8 / DOWN;        // warps
    const int NT = BN / 8 / ACROSS;                     // pieces of 8 columns of a warp
    const Sides s = sidesOf<MODE>(c);
    const int t = threadIdx.x, warp = t / 32, lane = t % 32;
    const int rows = warp / ACROSS * 32, across = warp % ACROSS;
    const int from = blockIdx.z * c.per, to = imin(s.k, from + c.per);
    int rowA[UA], atA = t % (BK / 4) * 4;
    Pixel pixel[UA];
#pragma unroll
    for (int u = 0; u < UA; u++) {
        rowA[u] = (t + 256 * u) / (BK / 4);
        int m = blockIdx.x * BM + rowA[u];
        pixel[u].item = -1;
        if (m < s.m && MODE == FORWARD) pixel[u] = windowOf(c, m);
        if (m < s.m && MODE == TO_INPUT) {
            pixel[u].x = m % c.w;
            pixel[u].y = m / c.w % c.h;
            pixel[u].item = m / c.w / c.h;
        }
    }
    int rowB[UB], atB[UB], columnB[UB];
#pragma unroll
    for (int u = 0; u < UB; u++) {
        int i = t + 256 * u;
        rowB[u] = MODE == FORWARD ? i / (BK / 4) : i % (BN / 4) * 4;
        atB[u] = MODE == FORWARD ? i % (BK / 4) * 4 : i / (BN / 4);
        columnB[u] = columnOf<BN>(rowB[u], s.n, MODE == FORWARD && e.gated);
    }
    float4 nextA[UA];
    typename Weights<S>::Stored nextB[UB];
    float sum[2][NT][4];
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < NT; j++)
#pragma unroll
            for (int r = 0; r < 4; r++) sum[i][j][r] = 0.0f;
    for (int k = from, now = 0; k < to + BK; k += BK, now ^= 1) {
        if (k < to) {
#pragma unroll
            for (int u = 0; u < UA; u++) nextA[u] = fourA<MODE, true>(c, a, pixel[u], 0, k + atA, to);
#pragma unroll
            for (int u = 0; u < UB; u++) nextB[u] = weights<S, MODE>(c, b, s, columnB[u], k + atB[u], to);
        }
        if (k > from) {
#pragma unroll
            for (int q = 0; q < ROW; q += 8) {
                Word x[2][4];
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const Word* p = &as[now ^ 1][rows + 16 * i + lane / 4][q + lane % 4];
                    x[i][0] = p[0];
                    x[i][1] = p[8 * WORDS];
                    x[i][2] = p[4];
                    x[i][3] = p[8 * WORDS + 4];
                }
#pragma unroll
                for (int j = 0; j < NT; j++) {
                    int column = (j < NT / 2 ? 0 : BN / 2) + across * (BN / 2 / ACROSS) + j % (NT / 2) * 8;
                    const Word* p = &bs[now ^ 1][column + lane / 4][q + lane % 4];
                    Word w[2] = {p[0], p[4]};
                    multiply<T>(sum[0][j], x[0], w);
                    multiply<T>(sum[1][j], x[1], w);
                }
            }
        }
        if (k < to) {
#pragma unroll
            for (int u = 0; u < UA; u++) along<TF32, T>(&as[now][rowA[u]][atA / T::PER], nextA[u]);
#pragma unroll
            for (int u = 0; u < UB; u++) {
                if (MODE == FORWARD) along<S, T>(&bs[now][rowB[u]][atB[u] / T::PER], nextB[u]);
                else down<S, T>(&bs[now][rowB[u]], atB[u], nextB[u]);
            }
            __syncthreads();
        }
    }
    float* tile = (float*)&as[0][0][0];
#pragma unroll 1
    for (int part = 0; part < 4; part++) { // rows 0 to 7 of those of a warp, and so on
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i == part) {
#pragma unroll
                for (int j = 0; j < NT; j++) {
                    int column = (j < NT / 2 ? 0 : BN / 2) + across * (BN / 2 / ACROSS) + j % (NT / 2) * 8;
                    float* p = tile + (rows / 4 + lane / 4) * BN + column + lane % 4 * 2;
                    p[0] = sum[i / 2][j][i % 2 * 2];
                    p[1] = sum[i / 2][j][i % 2 * 2 + 1];
                }
            }
        __syncthreads();
        finish<MODE, BN>(c, e, s, tile, DOWN * 8, [=](int r) {
            return blockIdx.x * BM + r / 8 * 32 + part * 8 + r % 8;
        });
    }
}

#define TILES(NAME, S, T, MODE)                                                                                    \
    KERNEL __launch_bounds__(256, 2) NAME##128(const float* a, const Weights<S>::Element* b, Conv c, Finish e) {   \
        cores<S, T, MODE, 128, 128>(a, b, c, e);                                                                   \
    }                                                                                                              \
    KERNEL __launch_bounds__(256) NAME##64(const float* a, const Weights<S>::Element* b, Conv c, Finish e) {       \
        cores<S, T, MODE, 64, 64>(a, b, c, e);                                                                     \
    }

// rounds is what tensor cores can do at best, for measurements, as multiplyAdds of ceiling.cu.
template <class T> __device__ __forceinline__ void rounds(float* y, int n) {
    float d[8][4];
    Word a[4] = {threadIdx.x, 1, 2, 3}, b[2] = {4, 5};
#pragma unroll
    for (int i = 0; i < 8; i++)
        for (int r = 0; r < 4; r++) d[i][r] = 0.0f;
    for (int k = 0; k < n; k++) {
#pragma unroll
        for (int i = 0; i < 8; i++) multiply<T>(d[i], a, b);
    }
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++)
        for (int r = 0; r < 4; r++) sum += d[i][r];
    if (sum == 1.25f) y[0] = sum;
}
