#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// p[taps,I4,O4] = w[O,I,taps], the layout of weights that products read: I4 and O4 are I and O rounded up to multiples
// of four, and the rest is zeros.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint O; uint I; uint taps; uint O4; uint I4; };
BUFFER(0, writeonly, p);
BUFFER(1, readonly, w);

void main() {
    uint i = place();
    if (i >= n) return;
    uint o = i % O4, ci = i / O4 % I4, tap = i / (O4 * I4);
    p[i] = o < O && ci < I ? w[(o * I + ci) * taps + tap] : 0;
}
