#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// y[rows,wide] = x[rows,c] and zeros behind.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint wide; uint c; };
BUFFER(0, writeonly, y);
BUFFER(1, readonly, x);

void main() {
    uint i = place();
    if (i >= n) return;
    y[i] = i % wide < c ? x[i / wide * c + i % wide] : 0;
}
