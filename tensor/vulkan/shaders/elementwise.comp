#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "functions.glsl"

// y = op(a, b) for n elements; y may be a or b.
layout(constant_id = 0) const uint OP = 0;
layout(constant_id = 1) const uint FUNC = 0; // of ops 0 and 1

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; float u; float v; };
BUFFER(0, , y);
BUFFER(1, readonly, a);
BUFFER(2, readonly, b);

void main() {
    uint i = place();
    if (i >= n) return;
    precise float r;
    switch (OP) {
    case 0: r = apply(FUNC, a[i]); break;
    case 1: r = a[i] * slope(FUNC, b[i]); break;
    case 2: r = a[i] + b[i]; break;
    case 3: r = a[i] * b[i]; break;
    case 4: r = a[i] + u * b[i]; break; // Axpy, with a = y
    case 5: r = u * a[i]; break;
    case 6: r = a[i] < u ? u : a[i] > v ? v : a[i]; break;
    case 7: r = b[i] >= u && b[i] <= v ? a[i] : 0; break;
    case 8: r = u; break;
    }
    y[i] = r;
}
