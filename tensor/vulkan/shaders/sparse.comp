#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// y[o,r,k] = sum of w[e] * x[o, at[e]+k] over the entries e of row r, in order.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint rows; uint inner; uint wide; };
BUFFER(0, writeonly, y);
BUFFER(1, readonly, x);
INDEX_BUFFER(2, start); // [rows+1]
INDEX_BUFFER(3, at);
BUFFER(4, readonly, w);

void main() {
    uint i = place();
    if (i >= n) return;
    uint k = i % inner, r = i / inner % rows, from = i / inner / rows * wide + k;
    float s = 0;
    for (uint e = start[r]; e < start[r + 1]; e++) s += w[e] * x[from + at[e]];
    y[i] = s;
}
