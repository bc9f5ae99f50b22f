// Attention without the matrix of weights: o = softmax(q k'/sqrt(d)) v for each head, by an online softmax over
// tiles of keys, and its gradient, which makes the weights again from stats (Dao et al., arXiv:2205.14135). Rows of
// all tensors are [heads*d] apart. A block of 256 threads has BM rows of one head and goes over the others, 64 at a
// time; a thread has TM = BM/16 rows and 4 columns of the scores, and the columns tx + 16 j of the result, which has
// up to DMAX.

#include "rows.cuh"

#define WIDE 64 // columns of a tile of scores
#define DC 16   // of d that are in shared memory at a time

template <int BM, int DMAX, int VK> struct Shared {
    __align__(16) float a[DC][BM + 4];
    __align__(16) float b[DC][WIDE + 4];
    __align__(16) float p[WIDE][BM + 4];
    __align__(16) float v[VK][DMAX];
};

// turned loads N rows from row on, DC columns from j on, with rows along the last side.
template <int N> __device__ __forceinline__ void turned(float (*s)[N + 4], const Rows& r, int row, int j) {
#pragma unroll 1
    for (int u = threadIdx.x; u < N * DC / 4; u += 256) {
        int i = u / (DC / 4), k = u % (DC / 4) * 4;
        float4 v = four(r, row + i, j + k);
        s[k][i] = v.x;
        s[k + 1][i] = v.y;
        s[k + 2][i] = v.z;
        s[k + 3][i] = v.w;
    }
}

template <int N> __device__ __forceinline__ void fetch(float* to, const float* from) {
    if (N == 4) *(float4*)to = *(const float4*)from;
    else
        for (int i = 0; i < N; i++) to[i] = from[i];
}

// scores: s[i][j] = <row rowA + ty*TM + i of a, row rowB + tx*4 + j of b>.
template <int BM, int DMAX, int VK>
__device__ __forceinline__ void scores(float (&s)[BM / 16][4], Shared<BM, DMAX, VK>& sh, const Rows& a, int rowA,
                                       const Rows& b, int rowB) {
    const int TM = BM / 16, ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    for (int i = 0; i < TM; i++)
        for (int j = 0; j < 4; j++) s[i][j] = 0.0f;
    for (int d = 0; d < a.d; d += DC) {
        __syncthreads();
        turned<BM>(sh.a, a, rowA, d);
        turned<WIDE>(sh.b, b, rowB, d);
        __syncthreads();
#pragma unroll 4
        for (int k = 0; k < DC; k++) {
            float x[TM], y[4];
            fetch<TM>(x, &sh.a[k][ty * TM]);
            fetch<4>(y, &sh.b[k][tx * 4]);
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) s[i][j] += x[i] * y[j];
        }
    }
}

// add: sum[i][j] += over the rows of v from row on, p[.][ty*TM + i] v[., tx + 16 j].
template <int BM, int DMAX, int VK>
__device__ __forceinline__ void add(float (&sum)[BM / 16][DMAX / 16], Shared<BM, DMAX, VK>& sh, const Rows& v,
                                    int row) {
    const int TM = BM / 16, DN = DMAX / 16, ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    for (int from = 0; from < WIDE && row + from < v.rows; from += VK) {
        __syncthreads();
#pragma unroll 1
        for (int u = threadIdx.x; u < VK * DMAX / 4; u += 256) {
            int i = u / (DMAX / 4), j = u % (DMAX / 4) * 4;
            *(float4*)&sh.v[i][j] = four(v, row + from + i, j);
        }
        __syncthreads();
#pragma unroll 2
        for (int k = 0; k < VK; k++) {
            float x[TM];
            fetch<TM>(x, &sh.p[from + k][ty * TM]);
#pragma unroll
            for (int j = 0; j < DN; j++) {
                float y = sh.v[k][tx + 16 * j];
#pragma unroll
                for (int i = 0; i < TM; i++) sum[i][j] += x[i] * y;
            }
        }
    }
}

// put writes sum*factor[i] to the rows of y.
template <int BM, int DMAX>
__device__ __forceinline__ void put(float* y, const Attention& a, int rows, int row, float (&sum)[BM / 16][DMAX / 16],
                                    const float* factor) {
    const int TM = BM / 16, ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    Rows r = rowsOf(y, rows, a);
    for (int i = 0; i < TM; i++) {
        int at = row + ty * TM + i;
        if (at >= rows) break;
        for (int j = 0; j < DMAX / 16; j++)
            if (tx + 16 * j < a.d) y[r.p - y + at * r.stride + tx + 16 * j] = sum[i][j] * factor[i];
    }
}

// Over the 16 threads that share rows.
__device__ __forceinline__ float rowMax(float v) {
    for (int d = 8; d > 0; d >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
    return v;
}
__device__ __forceinline__ float rowSum(float v) {
    for (int d = 8; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

template <int BM, int DMAX, int VK>
__device__ __forceinline__ void attend(float* o, float* stats, const float* q, const float* k, const float* v,
                                       const Attention& a) {
    __shared__ Shared<BM, DMAX, VK> sh;
    const int TM = BM / 16, ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    const int row = blockIdx.x * BM;
    Rows qs = rowsOf(q, a.l, a), ks = rowsOf(k, a.m, a), vs = rowsOf(v, a.m, a);
    float s[TM][4], sum[TM][DMAX / 16], most[TM], total[TM];
    for (int i = 0; i < TM; i++) {
        most[i] = LOWEST;
        total[i] = 0.0f;
        for (int j = 0; j < DMAX / 16; j++) sum[i][j] = 0.0f;
    }
    int end = a.causal ? imin(a.m, row + BM) : a.m;
    for (int key = 0; key < end; key += WIDE) {
        scores<BM, DMAX, VK>(s, sh, qs, row, ks, key);
        for (int i = 0; i < TM; i++) {
            int query = row + ty * TM + i;
            float high = most[i];
            for (int j = 0; j < 4; j++) {
                int at = key + tx * 4 + j;
                bool seen = at < a.m && !(a.causal && at > query);
                s[i][j] = seen ? s[i][j] * (a.scale * LOG2E) : LOWEST;
                high = fmaxf(high, s[i][j]);
            }
            high = rowMax(high);
            float shrink = exp2f(most[i] - high);
            most[i] = high;
            total[i] *= shrink;
            for (int j = 0; j < 4; j++) {
                float w = exp2f(s[i][j] - high);
                total[i] += w;
                sh.p[tx * 4 + j][ty * TM + i] = w;
            }
            for (int j = 0; j < DMAX / 16; j++) sum[i][j] *= shrink;
        }
        add<BM, DMAX, VK>(sum, sh, vs, key);
    }
    for (int i = 0; i < TM; i++) {
        total[i] = 1.0f / rowSum(total[i]);
        int query = row + ty * TM + i;
        if (stats && tx == 0 && query < a.l) {
            float* st = stats + (Index)blockIdx.y * 2 * a.l + query;
            st[0] = most[i];
            st[a.l] = total[i];
        }
    }
    put<BM, DMAX>(o, a, a.l, row, sum, total);
}

// toHalf rounds to bfloat16, with ties to even.
__device__ __forceinline__ float toHalf(float v) {
    unsigned int u = __float_as_uint(v);
    return v != v ? v : __uint_as_float((u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u);
}

// delta[item*heads][l] = <do, o>: a warp for each. With halves, do is rounded as products round it, so that the
// gradients of the scores of a row add up to nearly zero.
KERNEL attentionDelta(float* delta, const float* dout, const float* o, int l, int heads, int d, int halves,
                      Index all) {
    int lane = threadIdx.x % 32;
    Index at = (Index)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (at >= all) return;
    int head = at / l % heads;
    Index base = ((at / l / heads * l + at % l) * heads + head) * d;
    float sum = 0.0f;
    for (int j = lane; j < d; j += 32) sum += (halves ? toHalf(dout[base + j]) : dout[base + j]) * o[base + j];
    sum = warpSum(sum);
    if (lane == 0) delta[at] = sum;
}

template <int BM, int DMAX, int VK>
__device__ __forceinline__ void gradQuery(float* dq, const float* dout, const float* stats, const float* delta,
                                          const float* q, const float* k, const float* v, const Attention& a) {
    __shared__ Shared<BM, DMAX, VK> sh;
    const int TM = BM / 16, ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    const int row = blockIdx.x * BM;
    Rows qs = rowsOf(q, a.l, a), ds = rowsOf(dout, a.l, a), ks = rowsOf(k, a.m, a), vs = rowsOf(v, a.m, a);
    const float* st = stats + (Index)blockIdx.y * 2 * a.l;
    float s[TM][4], dp[TM][4], sum[TM][DMAX / 16], most[TM], inverse[TM], less[TM], factor[TM];
    for (int i = 0; i < TM; i++) {
        int query = imin(row + ty * TM + i, a.l - 1);
        most[i] = st[query];
        inverse[i] = st[a.l + query];
        less[i] = delta[(Index)blockIdx.y * a.l + query];
        factor[i] = a.scale;
        for (int j = 0; j < DMAX / 16; j++) sum[i][j] = 0.0f;
    }
    int end = a.causal ? imin(a.m, row + BM) : a.m;
    for (int key = 0; key < end; key += WIDE) {
        scores<BM, DMAX, VK>(s, sh, qs, row, ks, key);
        scores<BM, DMAX, VK>(dp, sh, ds, row, vs, key);
        for (int i = 0; i < TM; i++)
            for (int j = 0; j < 4; j++) {
                int at = key + tx * 4 + j;
                bool seen = at < a.m && !(a.causal && at > row + ty * TM + i);
                float w = seen ? exp2f(s[i][j] * (a.scale * LOG2E) - most[i]) * inverse[i] : 0.0f;
                sh.p[tx * 4 + j][ty * TM + i] = w * (dp[i][j] - less[i]);
            }
        add<BM, DMAX, VK>(sum, sh, ks, key);
    }
    put<BM, DMAX>(dq, a, a.l, row, sum, factor);
}

template <int BM, int DMAX, int VK>
__device__ __forceinline__ void gradKey(float* dk, float* dv, const float* dout, const float* stats,
                                        const float* delta, const float* q, const float* k, const float* v,
                                        const Attention& a) {
    __shared__ Shared<BM, DMAX, VK> sh;
    const int TM = BM / 16, ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    const int row = blockIdx.x * BM;
    Rows qs = rowsOf(q, a.l, a), ds = rowsOf(dout, a.l, a), ks = rowsOf(k, a.m, a), vs = rowsOf(v, a.m, a);
    const float* st = stats + (Index)blockIdx.y * 2 * a.l;
    float s[TM][4], dp[TM][4], sumK[TM][DMAX / 16], sumV[TM][DMAX / 16], one[TM], factor[TM];
    for (int i = 0; i < TM; i++) {
        one[i] = 1.0f;
        factor[i] = a.scale;
        for (int j = 0; j < DMAX / 16; j++) sumK[i][j] = sumV[i][j] = 0.0f;
    }
    // With causal, keys from row on are seen by queries from row on.
    for (int query = a.causal ? row / WIDE * WIDE : 0; query < a.l; query += WIDE) {
        scores<BM, DMAX, VK>(s, sh, ks, row, qs, query);
        scores<BM, DMAX, VK>(dp, sh, vs, row, ds, query);
        for (int j = 0; j < 4; j++) {
            int at = query + tx * 4 + j, in = imin(at, a.l - 1);
            float most = st[in], inverse = st[a.l + in], less = delta[(Index)blockIdx.y * a.l + in];
            for (int i = 0; i < TM; i++) {
                bool seen = at < a.l && !(a.causal && row + ty * TM + i > at);
                float w = seen ? exp2f(s[i][j] * (a.scale * LOG2E) - most) * inverse : 0.0f;
                sh.p[tx * 4 + j][ty * TM + i] = w;
                s[i][j] = w * (dp[i][j] - less);
            }
        }
        add<BM, DMAX, VK>(sumV, sh, ds, query);
        __syncthreads();
        for (int i = 0; i < TM; i++)
            for (int j = 0; j < 4; j++) sh.p[tx * 4 + j][ty * TM + i] = s[i][j];
        add<BM, DMAX, VK>(sumK, sh, qs, query);
    }
    put<BM, DMAX>(dk, a, a.m, row, sumK, factor);
    put<BM, DMAX>(dv, a, a.m, row, sumV, one);
}

// Kernels for heads of up to D; BM rows of queries, BK of keys in gradKey.
#define HEADS(D, BM, BK, VK)                                                                                       \
    KERNEL __launch_bounds__(256) attend##D(float* o, float* stats, const float* q, const float* k, const float* v, \
                                            Attention a) {                                                         \
        attend<BM, D, VK>(o, stats, q, k, v, a);                                                                   \
    }                                                                                                              \
    KERNEL __launch_bounds__(256) gradQuery##D(float* dq, const float* dout, const float* stats, const float* delta, \
                                               const float* q, const float* k, const float* v, Attention a) {      \
        gradQuery<BM, D, VK>(dq, dout, stats, delta, q, k, v, a);                                                  \
    }                                                                                                              \
    KERNEL __launch_bounds__(256) gradKey##D(float* dk, float* dv, const float* dout, const float* stats,          \
                                             const float* delta, const float* q, const float* k, const float* v,   \
                                             Attention a) {                                                        \
        gradKey<BK, D, VK>(dk, dv, dout, stats, delta, q, k, v, a);                                                \
    }

HEADS(48, 64, 64, 64)
HEADS(80, 64, 64, 32)
HEADS(160, 64, 64, 16)
HEADS(512, 32, 16, 8)
