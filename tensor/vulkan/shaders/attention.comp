#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// o = softmax(q k'/sqrt(d)) v for 16 queries of one head: 16 members for each query, which make a score of 16 keys
// each, and of the sum of values the columns c, c+16, ... The softmax is that of the keys so far, corrected when a
// larger score comes (online).
layout(constant_id = 0) const uint PER = 1; // columns of each member: at least d/16

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint L; uint M; uint heads; uint d; float scale; uint causal; uint keep; };
BUFFER(0, writeonly, o);
BUFFER(1, writeonly, stats); // [n,heads,2,L]: largest score, and sum of the weights
BUFFER(2, readonly, q);      // [n,L,heads*d]
BUFFER(3, readonly, k);      // [n,M,heads*d]
BUFFER(4, readonly, v);

shared float p[16][17];

void main() {
    uint r = gl_LocalInvocationID.x / 16, c = gl_LocalInvocationID.x % 16;
    uint head = gl_WorkGroupID.y, n = gl_WorkGroupID.z;
    uint C = heads * d, row = gl_WorkGroupID.x * 16 + r, own = min(row, L - 1), from = (n * L + own) * C + head * d;
    float acc[PER];
    for (uint x = 0; x < PER; x++) acc[x] = 0;
    float most = -1.0 / 0.0, total = 0;
    uint keys = causal != 0 ? min(M, gl_WorkGroupID.x * 16 + 16) : M;
    for (uint j0 = 0; j0 < keys; j0 += 16) {
        uint j = j0 + c;
        float s = -1.0 / 0.0;
        if (j < M && !(causal != 0 && j > own)) {
            uint at = (n * M + j) * C + head * d;
            s = 0;
            for (uint x = 0; x < d; x++) s += q[from + x] * k[at + x];
            s *= scale;
        }
        p[r][c] = s;
        barrier();
        float high = most;
        for (uint x = 0; x < 16; x++) high = max(high, p[r][x]);
        barrier();
        p[r][c] = exp(s - high);
        barrier();
        float fade = exp(most - high);
        most = high;
        total *= fade;
        for (uint x = 0; x < PER; x++) acc[x] *= fade;
        for (uint jj = 0; jj < min(16, M - j0); jj++) {
            float weight = p[r][jj];
            uint at = (n * M + j0 + jj) * C + head * d + c;
            total += weight;
            for (uint x = 0; x < PER; x++) if (c + 16 * x < d) acc[x] += weight * v[at + 16 * x];
        }
        barrier();
    }
    if (row >= L) return;
    for (uint x = 0; x < PER; x++) if (c + 16 * x < d) o[from + c + 16 * x] = acc[x] / total;
    if (keep != 0 && c == 0) {
        uint at = (n * heads + head) * 2 * L + row;
        stats[at] = most;
        stats[at + L] = total;
    }
}
