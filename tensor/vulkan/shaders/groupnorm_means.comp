#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// means[n*groups,2] = means over a group of dy*gamma and dy*gamma*xhat, from their sums[n,2,c] over pixels (columns).
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint c; uint groups; uint each; float count; };
BUFFER(0, writeonly, means);
BUFFER(1, readonly, sums);
BUFFER(2, readonly, gamma);

void main() {
    uint i = place();
    if (i >= n) return;
    uint item = i / groups, cg = c / groups, from = i % groups * cg;
    float s = 0, t = 0;
    for (uint j = from; j < from + cg; j++) {
        float w = gamma[j + (each != 0 ? item * c : 0)];
        s += w * sums[item * 2 * c + j];
        t += w * sums[item * 2 * c + c + j];
    }
    means[2 * i] = s / count;
    means[2 * i + 1] = t / count;
}
