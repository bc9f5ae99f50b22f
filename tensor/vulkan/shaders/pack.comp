#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// p[taps,I,O] = w[O,I,taps], the layout of weights that conv.comp reads.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint O; uint I; uint taps; };
BUFFER(0, writeonly, p);
BUFFER(1, readonly, w);

void main() {
    uint i = place();
    if (i >= O * I * taps) return;
    uint o = i % O, ci = i / O % I, tap = i / (O * I);
    p[i] = w[(o * I + ci) * taps + tap];
}
