// What both kinds of attention have in common: shapes, and the rows of a head.
//
// Scores are in units of log2(e)/sqrt(d), so that weights are powers of two: w = 2^(s-stats[0]) stats[1].

struct Attention {
    int l, m, heads, d, causal;
    float scale; // 1/sqrt(d)
};

#define LOG2E 1.44269504f
#define LOWEST __uint_as_float(0xff800000u) // -infinity
// Rows is the part of a tensor [items,rows,heads*d] that belongs to a head.
struct Rows {
    const float* p;
    int rows, d;
    Index stride;
};

__device__ __forceinline__ Rows rowsOf(const float* p, int rows, const Attention& a) {
    Rows r;
    r.stride = (Index)a.heads * a.d;
    r.p = p + (Index)(blockIdx.y / a.heads) * rows * r.stride + blockIdx.y % a.heads * a.d;
    r.rows = rows;
    r.d = a.d;
    return r;
}

// four is r[row, j..j+3], zeros outside.
__device__ __forceinline__ float4 four(const Rows& r, int row, int j) {
    float4 v;
    v.x = v.y = v.z = v.w = 0.0f;
    if (row >= r.rows || j >= r.d) return v;
    const float* p = r.p + row * r.stride + j;
    if (r.d % 4 == 0) return *(const float4*)p;
    float* f = &v.x;
    for (int i = 0; i < 4 && j + i < r.d; i++) f[i] = p[i];
    return v;
}
