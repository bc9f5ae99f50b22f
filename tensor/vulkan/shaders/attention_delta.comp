#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// delta[n,heads,L] = <o, do> over the columns of a head: what the gradient of softmax subtracts.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint L; uint heads; uint d; };
BUFFER(0, writeonly, delta);
BUFFER(1, readonly, o); // [n,L,heads*d]
BUFFER(2, readonly, dO);

void main() {
    uint i = place();
    if (i >= n) return;
    uint at = ((i / (heads * L) * L + i % L) * heads + i / L % heads) * d;
    float s = 0;
    for (uint x = 0; x < d; x++) s += o[at + x] * dO[at + x];
    delta[i] = s;
}
