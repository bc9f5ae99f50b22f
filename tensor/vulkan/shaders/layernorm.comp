#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "sums.glsl"

// A work group for each row of c. Forward: y = (x - mean) / deviation * gamma + beta, and stats. GRAD: y is dx.
layout(constant_id = 0) const bool GRAD = false;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint rows; uint c; float eps; };
BUFFER(0, , y);
BUFFER(1, , stats); // [rows,2]
BUFFER(2, readonly, x);
BUFFER(3, readonly, gamma);
BUFFER(4, readonly, other); // beta, or dy[rows,c]

void main() {
    uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, id = gl_LocalInvocationID.x, base = row * c;
    if (row >= rows) return;
    float s = 0, t = 0;
    if (GRAD) {
        float mean = stats[2 * row], r = stats[2 * row + 1];
        for (uint j = id; j < c; j += 256) {
            float g = other[base + j] * gamma[j];
            s += g;
            t += g * (x[base + j] - mean) * r;
        }
        s = groupSum(s) / c;
        t = groupSum(t) / c;
        for (uint j = id; j < c; j += 256) {
            float xhat = (x[base + j] - mean) * r;
            y[base + j] = r * (other[base + j] * gamma[j] - s - xhat * t);
        }
        return;
    }
    for (uint j = id; j < c; j += 256) s += x[base + j];
    float mean = groupSum(s) / c;
    for (uint j = id; j < c; j += 256) t += (x[base + j] - mean) * (x[base + j] - mean);
    float r = 1 / sqrt(groupSum(t) / c + eps);
    for (uint j = id; j < c; j += 256) y[base + j] = (x[base + j] - mean) * r * gamma[j] + other[j];
    if (id == 0) {
        stats[2 * row] = mean;
        stats[2 * row + 1] = r;
    }
}
