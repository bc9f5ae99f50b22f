#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// ENLARGE: y[n,2h,2w,c] holds each pixel of x[n,h,w,c] four times; else y[n,h,w,c] has factor times the sums of
// squares of two by two pixels of x[n,2h,2w,c].
layout(constant_id = 0) const bool ENLARGE = false;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint w; uint c; float factor; }; // w: of the small picture
BUFFER(0, writeonly, y);
BUFFER(1, readonly, x);

void main() {
    uint i = place();
    if (i >= n) return;
    uint ch = i % c, p = i / c;
    if (ENLARGE) {
        uint col = p % (2 * w), row = p / (2 * w); // rows of all pictures
        y[i] = x[(row / 2 * w + col / 2) * c + ch];
        return;
    }
    uint at = (p / w * 2 * 2 * w + p % w * 2) * c + ch, down = 2 * w * c;
    y[i] = ((x[at] + x[at + c]) + (x[at + down] + x[at + down + c])) * factor;
}
