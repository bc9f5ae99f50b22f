#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "functions.glsl"

// dx = (dy*gamma - m0 - xhat*m1) / deviation, dy after the gradient of SiLU; dx may be dy.
layout(constant_id = 0) const bool SILU_AFTER = false;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint px; uint c; uint groups; uint each; };
BUFFER(0, , dx);
BUFFER(1, readonly, dy);
BUFFER(2, readonly, x);
BUFFER(3, readonly, stats); // [n,groups,2]
BUFFER(4, readonly, means); // [n,groups,2]
BUFFER(5, readonly, gamma); // [c], or [n,c] with each
BUFFER(6, readonly, beta);

void main() {
    uint i = place();
    if (i >= n) return;
    uint j = i % c, item = i / (px * c), g = (item * groups + j / (c / groups)) * 2;
    uint own = j + (each != 0 ? item * c : 0);
    float xhat = (x[i] - stats[g]) * stats[g + 1], v = dy[i];
    if (SILU_AFTER) v *= siluGrad(xhat * gamma[own] + beta[own]);
    dx[i] = stats[g + 1] * (v * gamma[own] - means[g] - xhat * means[g + 1]);
}
