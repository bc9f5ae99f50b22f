#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// y[i] = w[ids[i]]. GRAD: y is dw, filled with zeros before, and w is dy; the first of equal ids adds for all of them.
layout(constant_id = 0) const bool GRAD = false;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint c; uint count; };
BUFFER(0, , y);
BUFFER(1, readonly, w);
INDEX_BUFFER(2, ids);

void main() {
    uint i = place();
    if (i >= n) return;
    uint row = i / c, j = i % c, id = ids[row];
    if (!GRAD) {
        y[i] = w[id * c + j];
        return;
    }
    float s = 0;
    for (uint k = 0; k < count; k++) {
        if (ids[k] != id) continue;
        if (k < row) return;
        s += w[k * c + j];
    }
    y[id * c + j] = s;
}
