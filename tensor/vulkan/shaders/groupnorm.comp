#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "functions.glsl"

// y[n,px,c] = (x - mean) / deviation * gamma + beta, and SiLU of that.
layout(constant_id = 0) const bool SILU_AFTER = false;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint px; uint c; uint groups; uint each; };
BUFFER(0, writeonly, y);
BUFFER(1, readonly, x);
BUFFER(2, readonly, stats); // [n,groups,2]
BUFFER(3, readonly, gamma); // [c], or [n,c] with each
BUFFER(4, readonly, beta);

void main() {
    uint i = place();
    if (i >= n) return;
    uint j = i % c, item = i / (px * c), g = (item * groups + j / (c / groups)) * 2;
    uint own = j + (each != 0 ? item * c : 0);
    float v = (x[i] - stats[g]) * stats[g + 1] * gamma[own] + beta[own];
    y[i] = SILU_AFTER ? v * sigmoid(v) : v;
}
