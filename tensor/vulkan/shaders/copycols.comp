#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// dst[row, to+j] = src[row, from+j] for j < cols.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint cols; uint dc; uint to; uint sc; uint from; };
BUFFER(0, writeonly, dst);
BUFFER(1, readonly, src);

void main() {
    uint i = place();
    if (i >= n) return;
    uint row = i / cols, j = i % cols;
    dst[row * dc + to + j] = src[row * sc + from + j];
}
