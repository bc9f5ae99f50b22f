#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "functions.glsl"

// y[row,j] = x[row,j] * gelu(x[row,c+j]), and with GRAD the gradient dx of x from dy.
layout(constant_id = 0) const bool GRAD = false;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; uint c; };
BUFFER(0, writeonly, y); // [rows,c], or dx[rows,2c]
BUFFER(1, readonly, x);  // [rows,2c]
BUFFER(2, readonly, dy); // [rows,c]

void main() {
    uint i = place();
    if (i >= n) return;
    uint left = i / c * 2 * c + i % c, right = left + c;
    if (GRAD) {
        y[left] = dy[i] * gelu(x[right]);
        y[right] = dy[i] * x[left] * geluGrad(x[right]);
    } else {
        y[i] = x[left] * gelu(x[right]);
    }
}
