#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "sums.glsl"

// A work group for each row of c: y = softmax(x). GRAD: y is dx = p * (dy - sum(p*dy)), x is p; dx may be dy.
layout(constant_id = 0) const bool GRAD = false;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint rows; uint c; };
BUFFER(0, , y);
BUFFER(1, readonly, x);
BUFFER(2, readonly, dy);

void main() {
    uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, id = gl_LocalInvocationID.x, base = row * c;
    if (row >= rows) return;
    float s = 0;
    if (GRAD) {
        for (uint j = base + id; j < base + c; j += 256) s += x[j] * dy[j];
        s = groupSum(s);
        for (uint j = base + id; j < base + c; j += 256) y[j] = x[j] * (dy[j] - s);
        return;
    }
    float most = x[base];
    for (uint j = base + id; j < base + c; j += 256) most = max(most, x[j]);
    most = groupMax(most);
    for (uint j = base + id; j < base + c; j += 256) s += exp(x[j] - most);
    s = groupSum(s);
    for (uint j = base + id; j < base + c; j += 256) y[j] = exp(x[j] - most) / s;
}
