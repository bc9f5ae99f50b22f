#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "sums.glsl"

// part[i] = the sum over 4096 elements from 4096 i on of a, a*a or a*b.
layout(constant_id = 0) const uint KIND = 0;

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint n; };
BUFFER(0, writeonly, part);
BUFFER(1, readonly, a);
BUFFER(2, readonly, b);

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, lo = group * 4096;
    float s = 0;
    for (uint i = lo + gl_LocalInvocationID.x; i < min(n, lo + 4096); i += 256) {
        s += KIND == 0 ? a[i] : KIND == 1 ? a[i] * a[i] : a[i] * b[i];
    }
    s = groupSum(s);
    if (gl_LocalInvocationID.x == 0 && lo < n) part[group] = s;
}
