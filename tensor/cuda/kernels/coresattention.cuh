// Attention on tensor cores, for heads of up to 80 channels: factors rounded to a kind T with two in a word, sums,
// softmax and all that is stored in float32. A block of 8 warps has 128 rows of a head, a warp 16 of them and all columns of a tile of
// 64, so that what it knows of a row stays in four lanes, and the weights go from one product to the next in
// registers: a piece of 16 x 8 sums has the layout of half a factor of 16 x 16.

#define WIDE 64
#define ROWS 128
#define TURNED (WIDE / 2 + 4) // words of a row of a tile that was turned

// two is the pair r[row, j], r[row, j+1], zeros outside.
template <class T> __device__ __forceinline__ Word two(const Rows& r, int row, int j) {
    if (row >= r.rows || j >= r.d) return 0;
    const float* p = r.p + row * r.stride + j;
    return pairOf<T>(p[0], j + 1 < r.d ? p[1] : 0.0f);
}

// factor reads the rows of a warp as the first factor of products: pieces of 16 channels.
template <class T, int D> __device__ __forceinline__ void factor(Word (&f)[D / 16][4], const Rows& r, int row) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int k = 0; k < D / 16; k++)
#pragma unroll
        for (int i = 0; i < 4; i++) f[k][i] = two<T>(r, row + g + i % 2 * 8, 16 * k + 2 * t + i / 2 * 8);
}

// straight loads a tile of rows with pairs of channels in a word, turned one with pairs of rows.
template <class T, int D> __device__ __forceinline__ void straight(Word (*s)[D / 2 + 4], const Rows& r, int row) {
#pragma unroll 1
    for (int u = threadIdx.x; u < WIDE * D / 4; u += 256) {
        int i = u / (D / 4), j = u % (D / 4) * 4;
        float4 v = four(r, row + i, j);
        s[i][j / 2] = pairOf<T>(v.x, v.y);
        s[i][j / 2 + 1] = pairOf<T>(v.z, v.w);
    }
}
template <class T, int D> __device__ __forceinline__ void turned(Word (*s)[TURNED], const Rows& r, int row) {
#pragma unroll 1
    for (int u = threadIdx.x; u < WIDE / 2 * D / 4; u += 256) {
        int i = u / (D / 4), j = u % (D / 4) * 4;
        float4 v = four(r, row + 2 * i, j), w = four(r, row + 2 * i + 1, j);
        s[j][i] = pairOf<T>(v.x, w.x);
        s[j + 1][i] = pairOf<T>(v.y, w.y);
        s[j + 2][i] = pairOf<T>(v.z, w.z);
        s[j + 3][i] = pairOf<T>(v.w, w.w);
    }
}

// scores: s[j] = the rows of a warp times the rows 8j to 8j+7 of a straight tile.
template <class T, int D>
__device__ __forceinline__ void scores(float (&s)[WIDE / 8][4], const Word (&f)[D / 16][4],
                                       const Word (*b)[D / 2 + 4]) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int j = 0; j < WIDE / 8; j++) {
#pragma unroll
        for (int r = 0; r < 4; r++) s[j][r] = 0.0f;
#pragma unroll
        for (int k = 0; k < D / 16; k++) {
            Word w[2] = {b[8 * j + g][8 * k + t], b[8 * j + g][8 * k + t + 4]};
            multiply<T>(s[j], f[k], w);
        }
    }
}

// add: sum[j] += p times the columns 8j to 8j+7 of a turned tile.
template <class T, int D>
__device__ __forceinline__ void add(float (&sum)[D / 8][4], const float (&p)[WIDE / 8][4], const Word (*b)[TURNED]) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int k = 0; k < WIDE / 16; k++) {
        Word f[4] = {pairOf<T>(p[2 * k][0], p[2 * k][1]), pairOf<T>(p[2 * k][2], p[2 * k][3]),
                     pairOf<T>(p[2 * k + 1][0], p[2 * k + 1][1]), pairOf<T>(p[2 * k + 1][2], p[2 * k + 1][3])};
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
            Word w[2] = {b[8 * j + g][8 * k + t], b[8 * j + g][8 * k + t + 4]};
            multiply<T>(sum[j], f, w);
        }
    }
}

// put writes the rows of a warp, times factor[0] for row g and factor[1] for row g+8.
template <int D>
__device__ __forceinline__ void put(float* y, const Rows& r, int row, const float (&sum)[D / 8][4],
                                    const float (&factor)[2]) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int at = row + g + i / 2 * 8, column = 8 * j + 2 * t + i % 2;
            if (at < r.rows && column < r.d) y[r.p - y + at * r.stride + column] = sum[j][i] * factor[i / 2];
        }
}

// Over the four lanes that share a row.
__device__ __forceinline__ float rowMax(float v) {
    v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
    return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}
__device__ __forceinline__ float rowSum(float v) {
    v += __shfl_xor_sync(0xffffffffu, v, 1);
    return v + __shfl_xor_sync(0xffffffffu, v, 2);
}

template <int D> __device__ __forceinline__ void zero(float (&sum)[D / 8][4]) {
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) sum[j][i] = 0.0f;
}

template <class T, int D>
__device__ __forceinline__ void attend(float* o, float* stats, const float* q, const float* k, const float* v,
                                       const Attention& a) {
    __shared__ Word keys[WIDE][D / 2 + 4];
    __shared__ Word values[D][TURNED];
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, row = blockIdx.x * ROWS + threadIdx.x / 32 * 16;
    Rows ks = rowsOf(k, a.m, a), vs = rowsOf(v, a.m, a);
    Word f[D / 16][4];
    factor<T, D>(f, rowsOf(q, a.l, a), row);
    float sum[D / 8][4], most[2] = {LOWEST, LOWEST}, total[2] = {0.0f, 0.0f};
    zero<D>(sum);
    int end = a.causal ? imin(a.m, (int)blockIdx.x * ROWS + ROWS) : a.m;
    for (int key = 0; key < end; key += WIDE) {
        __syncthreads();
        straight<T, D>(keys, ks, key);
        turned<T, D>(values, vs, key);
        __syncthreads();
        float s[WIDE / 8][4];
        scores<T, D>(s, f, keys);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int query = row + g + 8 * h;
            float high = most[h];
#pragma unroll
            for (int j = 0; j < WIDE / 8; j++)
#pragma unroll
                for (int i = 2 * h; i < 2 * h + 2; i++) {
                    int at = key + 8 * j + 2 * t + i % 2;
                    bool seen = at < a.m && !(a.causal && at > query);
                    s[j][i] = seen ? s[j][i] * (a.scale * LOG2E) : LOWEST;
                    high = fmaxf(high, s[j][i]);
                }
            high = rowMax(high);
            // A tile may have nothing that a row sees; the first one has something.
            float shrink = exp2f(most[h] - high);
            most[h] = high;
            total[h] *= shrink;
#pragma unroll
            for (int j = 0; j < WIDE / 8; j++)
#pragma unroll
                for (int i = 2 * h; i < 2 * h + 2; i++) {
                    s[j][i] = exp2f(s[j][i] - high);
                    total[h] += s[j][i];
                }
#pragma unroll
            for (int j = 0; j < D / 8; j++)
#pragma unroll
                for (int i = 2 * h; i < 2 * h + 2; i++) sum[j][i] *= shrink;
        }
        add<T, D>(sum, s, values);
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        total[h] = 1.0f / rowSum(total[h]);
        int query = row + g + 8 * h;
        if (stats && t == 0 && query < a.l) {
            float* st = stats + (Index)blockIdx.y * 2 * a.l + query;
            st[0] = most[h];
            st[a.l] = total[h];
        }
    }
    put<D>(o, rowsOf(o, a.l, a), row, sum, total);
}

template <class T, int D>
__device__ __forceinline__ void gradQuery(float* dq, const float* dout, const float* stats, const float* delta,
                                          const float* q, const float* k, const float* v, const Attention& a) {
    __shared__ Word keys[WIDE][D / 2 + 4];
    __shared__ Word values[WIDE][D / 2 + 4];
    __shared__ Word keysTurned[D][TURNED];
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, row = blockIdx.x * ROWS + threadIdx.x / 32 * 16;
    Rows ks = rowsOf(k, a.m, a), vs = rowsOf(v, a.m, a);
    const float* st = stats + (Index)blockIdx.y * 2 * a.l;
    Word f[D / 16][4], df[D / 16][4];
    factor<T, D>(f, rowsOf(q, a.l, a), row);
    factor<T, D>(df, rowsOf(dout, a.l, a), row);
    float sum[D / 8][4], most[2], inverse[2], less[2], scale[2] = {a.scale, a.scale};
    zero<D>(sum);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int query = imin(row + g + 8 * h, a.l - 1);
        most[h] = st[query];
        inverse[h] = st[a.l + query];
        less[h] = delta[(Index)blockIdx.y * a.l + query];
    }
    int end = a.causal ? imin(a.m, (int)blockIdx.x * ROWS + ROWS) : a.m;
    for (int key = 0; key < end; key += WIDE) {
        __syncthreads();
        straight<T, D>(keys, ks, key);
        straight<T, D>(values, vs, key);
        turned<T, D>(keysTurned, ks, key);
        __syncthreads();
        float s[WIDE / 8][4], dp[WIDE / 8][4];
        scores<T, D>(s, f, keys);
        scores<T, D>(dp, df, values);
#pragma unroll
        for (int j = 0; j < WIDE / 8; j++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int h = i / 2, at = key + 8 * j + 2 * t + i % 2;
                bool seen = at < a.m && !(a.causal && at > row + g + 8 * h);
                float w = seen ? exp2f(s[j][i] * (a.scale * LOG2E) - most[h]) * inverse[h] : 0.0f;
                s[j][i] = w * (dp[j][i] - less[h]);
            }
        add<T, D>(sum, s, keysTurned);
    }
    put<D>(dq, rowsOf(dq, a.l, a), row, sum, scale);
}

template <class T, int D>
__device__ __forceinline__ void gradKey(float* dk, float* dv, const float* dout, const float* stats,
                                        const float* delta, const float* q, const float* k, const float* v,
                                        const Attention& a) {
    __shared__ Word queries[WIDE][D / 2 + 4];
    __shared__ Word grads[WIDE][D / 2 + 4];
    __shared__ Word queriesTurned[D][TURNED];
    __shared__ Word gradsTurned[D][TURNED];
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, row = blockIdx.x * ROWS + threadIdx.x / 32 * 16;
    Rows qs = rowsOf(q, a.l, a), ds = rowsOf(dout, a.l, a);
    const float* st = stats + (Index)blockIdx.y * 2 * a.l;
    Word f[D / 16][4], vf[D / 16][4];
    factor<T, D>(f, rowsOf(k, a.m, a), row);
    factor<T, D>(vf, rowsOf(v, a.m, a), row);
    float sumK[D / 8][4], sumV[D / 8][4], one[2] = {1.0f, 1.0f}, scale[2] = {a.scale, a.scale};
    zero<D>(sumK);
    zero<D>(sumV);
    for (int query = a.causal ? (int)blockIdx.x * ROWS : 0; query < a.l; query += WIDE) {
        __syncthreads();
        straight<T, D>(queries, qs, query);
        straight<T, D>(grads, ds, query);
        turned<T, D>(queriesTurned, qs, query);
        turned<T, D>(gradsTurned, ds, query);
        __syncthreads();
        float s[WIDE / 8][4], dp[WIDE / 8][4];
        scores<T, D>(s, f, queries);
        scores<T, D>(dp, vf, grads);
#pragma unroll
        for (int j = 0; j < WIDE / 8; j++)
#pragma unroll
            for (int c = 0; c < 2; c++) {
                int at = query + 8 * j + 2 * t + c, in = imin(at, a.l - 1);
                float most = st[in], inverse = st[a.l + in], less = delta[(Index)blockIdx.y * a.l + in];
#pragma unroll
                for (int i = c; i < 4; i += 2) {
                    bool seen = at < a.l && !(a.causal && row + g + i / 2 * 8 > at);
                    s[j][i] = seen ? exp2f(s[j][i] * (a.scale * LOG2E) - most) * inverse : 0.0f;
                    dp[j][i] = s[j][i] * (dp[j][i] - less);
                }
            }
        add<T, D>(sumV, s, gradsTurned);
        add<T, D>(sumK, dp, queriesTurned);
    }
    put<D>(dk, rowsOf(dk, a.m, a), row, sumK, scale);
    put<D>(dv, rowsOf(dv, a.m, a), row, sumV, one);
}
