#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// The gradient of attention, for 16 queries, or with KEYS 16 keys, of one head. The weights p are made again of the
// scores and stats; ds = p * (<do,v> - delta). For queries: dq = scale * sum over the keys of ds*k. For keys:
// dk = scale * sum over the queries of ds*q, dv = sum of p*do. a and b are q and do, or k and v, of the own rows; e
// and f those of the others.
layout(constant_id = 0) const uint PER = 1; // columns of each member: at least d/16
layout(constant_id = 1) const bool KEYS = false;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint own; uint others; uint heads; uint d; float scale; uint causal; };
BUFFER(0, writeonly, da);
BUFFER(1, writeonly, db); // with KEYS
BUFFER(2, readonly, a);
BUFFER(3, readonly, b);
BUFFER(4, readonly, e);
BUFFER(5, readonly, f);
BUFFER(6, readonly, stats); // [n,heads,2,queries]
BUFFER(7, readonly, delta); // [n,heads,queries]

shared float ps[16][17];
shared float ds[16][17];

void main() {
    uint r = gl_LocalInvocationID.x / 16, c = gl_LocalInvocationID.x % 16;
    uint head = gl_WorkGroupID.y, n = gl_WorkGroupID.z;
    uint C = heads * d, first = gl_WorkGroupID.x * 16, mine = min(first + r, own - 1);
    uint from = (n * own + mine) * C + head * d, L = KEYS ? others : own;
    float sumA[PER], sumB[PER];
    for (uint x = 0; x < PER; x++) {
        sumA[x] = 0;
        sumB[x] = 0;
    }
    uint lo = causal != 0 && KEYS ? first : 0, hi = causal != 0 && !KEYS ? min(others, first + 16) : others;
    for (uint j0 = lo; j0 < hi; j0 += 16) {
        uint j = j0 + c, query = KEYS ? j : mine, key = KEYS ? mine : j;
        float p = 0, s = 0, dp = 0;
        if (j < others && !(causal != 0 && key > query)) {
            uint at = (n * others + j) * C + head * d, of = (n * heads + head) * 2 * L + query;
            for (uint x = 0; x < d; x++) {
                s += a[from + x] * e[at + x];
                dp += b[from + x] * f[at + x];
            }
            p = exp(s * scale - stats[of]) / stats[of + L];
            s = p * (dp - delta[(n * heads + head) * L + query]);
        }
        ps[r][c] = p;
        ds[r][c] = s;
        barrier();
        for (uint jj = 0; jj < min(16, others - j0); jj++) {
            uint at = (n * others + j0 + jj) * C + head * d + c;
            for (uint x = 0; x < PER; x++) {
                if (c + 16 * x < d) {
                    sumA[x] += ds[r][jj] * e[at + 16 * x];
                    if (KEYS) sumB[x] += ps[r][jj] * f[at + 16 * x];
                }
            }
        }
        barrier();
    }
    if (first + r >= own) return;
    for (uint x = 0; x < PER; x++) {
        if (c + 16 * x < d) {
            da[from + c + 16 * x] = sumA[x] * scale;
            if (KEYS) db[from + c + 16 * x] = sumB[x];
        }
    }
}
