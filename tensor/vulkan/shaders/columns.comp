#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "functions.glsl"

// Sums over the rows of dy[n,rows,c], for each picture n and column, of parts of some rows each:
// part[n,parts,2,c], or part[n,parts,1,c] with KIND 0.
// KIND 0: dy. 1, for the norms of rows: dy and dy*xhat, stats[n*rows,2]. 2, for group norms: the same after the
// gradient of SiLU, if SILU_AFTER, with stats[n,groups,2].
layout(constant_id = 0) const uint KIND = 0;
layout(constant_id = 1) const bool SILU_AFTER = false;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint rows; uint c; uint size; uint groups; uint each; };
BUFFER(0, writeonly, part);
BUFFER(1, readonly, dy);
BUFFER(2, readonly, x);
BUFFER(3, readonly, stats);
BUFFER(4, readonly, gamma); // [c], or [n,c] with each
BUFFER(5, readonly, beta);

void main() {
    uint j = gl_WorkGroupID.x * 256 + gl_LocalInvocationID.x;
    if (j >= c) return;
    uint chunk = gl_WorkGroupID.y, parts = gl_NumWorkGroups.y, n = gl_WorkGroupID.z;
    uint lo = chunk * size, hi = min(rows, lo + size);
    float s = 0, t = 0;
    uint g = KIND == 2 ? (n * groups + j / (c / groups)) * 2 : 0, own = j + (each != 0 ? n * c : 0);
    for (uint r = lo; r < hi; r++) {
        uint i = (n * rows + r) * c + j;
        float v = dy[i];
        if (KIND > 0) {
            if (KIND == 1) g = (n * rows + r) * 2;
            float xhat = (x[i] - stats[g]) * stats[g + 1];
            if (SILU_AFTER) v *= siluGrad(xhat * gamma[own] + beta[own]);
            t += v * xhat;
        }
        s += v;
    }
    uint wide = KIND > 0 ? 2 * c : c, at = (n * parts + chunk) * wide + j;
    part[at] = s;
    if (KIND > 0) part[at + c] = t;
}
