// Convolutions, forward and back, as matrix products whose factors are gathered while they are loaded (implicit
// GEMM), in float32. A block of 256 threads makes a tile of BM x BN, a thread TM x TN numbers of it: rows and
// columns in two groups each, half a tile apart. The tiles of the factors are in shared memory twice: one is read
// while the next one is fetched. Where there are few tiles the sum over k is cut in parts, which convEnd adds up in
// order.
#include "gather.cuh"

#define BK 16

// fetch reads N neighbours.
template <int N> __device__ __forceinline__ void fetch(float* to, const float* from) {
    if (N == 4) *(float4*)to = *(const float4*)from;
    else
        for (int i = 0; i < N; i++) to[i] = from[i];
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
#pragma unroll
    for (int i = 0; i < TM; i++)
#pragma unroll
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
    // Sums go to memory by way of the shared one, a row of each thread at a time: registers have no numbers to
    // choose by.
    float* tile = &as[0][0][0];
#pragma unroll 1
    for (int row = 0; row < TM; row++) {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < TM; i++)
            if (i == row) {
#pragma unroll
                for (int j = 0; j < TN; j++) tile[ty * BN + (j < HN ? 0 : BN / 2) + tx * HN + j % HN] = sum[i][j];
            }
        __syncthreads();
        finish<MODE, BN>(c, e, s, tile, 16, [=](int r) {
            return blockIdx.x * BM + (row < HM ? 0 : BM / 2) + r * HM + row % HM;
        });
    }
}

// Tiles for large results, for small ones, for those of few columns, and for channels that do not come in fours.
#define TILES(NAME, MODE)                                                                                          \
    KERNEL __launch_bounds__(256, 2) NAME##128(const float* a, const float* b, Conv c, Finish e) {                 \
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
