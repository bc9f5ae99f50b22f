#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// Copies the windows at[count] {row, column} of x[1,H,W,c] into y[count,h,w,c]. ADD: y[1,H,W,c] += the windows
// x[count,h,w,c], in their order.
layout(constant_id = 0) const bool ADD = false;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint wide; uint c; uint h; uint w; uint count; };
BUFFER(0, , y);
BUFFER(1, readonly, x);
INDEX_BUFFER(2, at);

void main() {
    uint i = place();
    if (i >= n) return;
    uint ch = i % c, p = i / c;
    if (ADD) {
        uint row = p / wide, col = p % wide;
        float s = y[i];
        for (uint k = 0; k < count; k++) {
            uint r = row - at[2 * k], q = col - at[2 * k + 1]; // huge where it is negative
            if (r < h && q < w) s += x[((k * h + r) * w + q) * c + ch];
        }
        y[i] = s;
        return;
    }
    uint k = p / (h * w), r = p / w % h, q = p % w;
    y[i] = x[((at[2 * k] + r) * wide + at[2 * k + 1] + q) * c + ch];
}
