#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// dw[O,I,taps] = the sums of part[splits,taps,I,O] (gradw), in order.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint O; uint I; uint taps; uint splits; };
BUFFER(0, writeonly, dw);
BUFFER(1, readonly, part);

void main() {
    uint i = place(), n = O * I * taps;
    if (i >= n) return;
    uint o = i % O, ci = i / O % I, tap = i / (O * I);
    float s = 0;
    for (uint k = 0; k < splits; k++) s += part[k * n + i];
    dw[(o * I + ci) * taps + tap] = s;
}
