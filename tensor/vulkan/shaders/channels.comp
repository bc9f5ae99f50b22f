#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// AddChannels: y[n,px,c] = x[n,px,c] + e[n,c].
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint px; uint c; };
BUFFER(0, writeonly, y);
BUFFER(1, readonly, x);
BUFFER(2, readonly, e);

void main() {
    uint i = place();
    if (i >= n) return;
    y[i] = x[i] + e[i / (px * c) * c + i % c];
}
