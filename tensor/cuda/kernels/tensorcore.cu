// Convolutions, forward and to the input, on tensor cores: factors rounded to bfloat16, sums in float32. What is
// stored between operations is float32; weights are bfloat16, [O,taps,I]. Channels come in fours.
//
// A block of 8 warps makes a tile of BM x BN, from tiles of the factors that hold pairs of k in a word. A warp makes
// 32 rows; its columns are of both halves of the tile, so that a thread has what a gate takes together.
// capability 80
#include "cores.cuh"
#include "gather.cuh"

#define BK 32
#define WORDS (BK / 2 + 4) // of a row, 4 of them unused, so that the rows of a fragment lie in different banks

KERNEL toHalves(Half* y, const float* x, Index n) { EACH(i, n) y[i] = (Half)(pairOf(x[i], 0.0f) & 0xffff); }
KERNEL fromHalves(float* y, const Half* x, Index n) { EACH(i, n) y[i] = __uint_as_float((Word)x[i] << 16); }

struct Pairs { Word x, y; };

// weights is B[k..k+3, n] where MODE is FORWARD, else B[k, n..n+3], zeros outside.
template <int MODE>
__device__ __forceinline__ Pairs weights(const Conv& c, const Half* b, const Sides& s, int n, int k, int to) {
    Pairs v;
    v.x = v.y = 0;
    if (n < 0 || k >= to) return v;
    if (MODE == FORWARD) return *(const Pairs*)(b + (Index)n * s.k + k);
    int taps = c.kh * c.kw;
    return *(const Pairs*)(b + ((Index)(k % c.co) * taps + k / c.co % taps) * c.ci + n);
}

template <int MODE, int BM, int BN>
__device__ __forceinline__ void cores(const float* a, const Half* b, const Conv& c, const Finish& e) {
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
    Pairs nextB[UB];
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
            for (int u = 0; u < UB; u++) nextB[u] = weights<MODE>(c, b, s, columnB[u], k + atB[u], to);
        }
        if (k > from) {
#pragma unroll
            for (int q = 0; q < BK / 2; q += 8) {
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
                    multiply(sum[0][j], x[0], w);
                    multiply(sum[1][j], x[1], w);
                }
            }
        }
        if (k < to) {
#pragma unroll
            for (int u = 0; u < UA; u++) {
                Word* p = &as[now][rowA[u]][atA / 2];
                p[0] = pairOf(nextA[u].x, nextA[u].y);
                p[1] = pairOf(nextA[u].z, nextA[u].w);
            }
#pragma unroll
            for (int u = 0; u < UB; u++) {
                if (MODE == FORWARD) {
                    Word* p = &bs[now][rowB[u]][atB[u] / 2];
                    p[0] = nextB[u].x;
                    p[1] = nextB[u].y;
                    continue;
                }
                Half* p = (Half*)&bs[now][rowB[u]][0] + atB[u];
                p[0] = (Half)nextB[u].x;
                p[2 * WORDS] = (Half)(nextB[u].x >> 16);
                p[4 * WORDS] = (Half)nextB[u].y;
                p[6 * WORDS] = (Half)(nextB[u].y >> 16);
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

#define TILES(NAME, MODE)                                                                                          \
    KERNEL __launch_bounds__(256, 2) NAME##128(const float* a, const Half* b, Conv c, Finish e) {                  \
        cores<MODE, 128, 128>(a, b, c, e);                                                                         \
    }                                                                                                              \
    KERNEL __launch_bounds__(256) NAME##64(const float* a, const Half* b, Conv c, Finish e) {                      \
        cores<MODE, 64, 64>(a, b, c, e);                                                                           \
    }

TILES(coresForward, FORWARD)
TILES(coresToInput, TO_INPUT)

// What tensor cores can do at best, for measurements, as multiplyAdds of ceiling.cu.
KERNEL coresMultiplyAdds(float* y, int rounds) {
    float d[8][4];
    Word a[4] = {threadIdx.x, 1, 2, 3}, b[2] = {4, 5};
#pragma unroll
    for (int i = 0; i < 8; i++)
        for (int r = 0; r < 4; r++) d[i][r] = 0.0f;
    for (int k = 0; k < rounds; k++) {
#pragma unroll
        for (int i = 0; i < 8; i++) multiply(d[i], a, b);
    }
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++)
        for (int r = 0; r < 4; r++) sum += d[i][r];
    if (sum == 1.25f) y[0] = sum;
}
