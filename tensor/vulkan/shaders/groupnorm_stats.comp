#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// stats[n*groups,2] = mean and 1/sqrt(var+eps) from part[n*groups,parts,2] (groupnorm_parts), joined in order.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint parts; uint px; uint cg; uint size; float eps; };
BUFFER(0, writeonly, stats);
BUFFER(1, readonly, part);

void main() {
    uint i = place();
    if (i >= n) return;
    float count = 0, mean = 0, squares = 0;
    for (uint k = 0; k < parts; k++) {
        float add = float((min(px, (k + 1) * size) - k * size) * cg), sum = count + add;
        float off = part[(i * parts + k) * 2] - mean;
        mean += off * (add / sum);
        squares += part[(i * parts + k) * 2 + 1] + off * off * (count * add / sum);
        count = sum;
    }
    stats[2 * i] = mean;
    stats[2 * i + 1] = 1 / sqrt(squares / count + eps);
}
