#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// p[taps,I4,O4] = w[O,I,taps], the layout of weights that products read: I4 and O4 are I and O rounded up to multiples
// of four, and the rest is zeros. With HALVES a word holds two of them in float16.
layout(constant_id = 0) const bool HALVES = false;
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint O; uint I; uint taps; uint O4; uint I4; }; // n words
layout(set = 0, binding = 0) writeonly buffer Buffer0 { uint p[]; };
BUFFER(1, readonly, w);

float weight(uint i) {
    uint o = i % O4, ci = i / O4 % I4, tap = i / (O4 * I4);
    return o < O && ci < I ? w[(o * I + ci) * taps + tap] : 0;
}

void main() {
    uint i = place();
    if (i >= n) return;
    if (HALVES) p[i] = packHalf2x16(vec2(weight(2 * i), weight(2 * i + 1)));
    else p[i] = floatBitsToUint(weight(i));
}
