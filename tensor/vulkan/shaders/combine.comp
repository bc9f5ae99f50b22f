#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// y[outer,c] = sum over the parts of part[outer,parts,c], from column col of stride columns on, in order.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint parts; uint c; uint stride; uint col; };
BUFFER(0, writeonly, y);
BUFFER(1, readonly, part);

void main() {
    uint i = place();
    if (i >= n) return;
    uint at = i / c * parts * stride + col + i % c;
    float s = 0, lost = 0; // the sum, and what its roundings lost
    for (uint k = 0; k < parts; k++) {
        precise float v = part[at + k * stride] - lost;
        precise float sum = s + v;
        lost = (sum - s) - v;
        s = sum;
    }
    y[i] = s;
}
