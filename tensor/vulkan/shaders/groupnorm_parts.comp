#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "sums.glsl"

// part[n,groups,parts,2]: mean and sum of squares round it of a group's channels in size pixels of x[n,px,c].
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { uint px; uint c; uint groups; uint size; };
BUFFER(0, writeonly, part);
BUFFER(1, readonly, x);

void main() {
    uint chunk = gl_WorkGroupID.x, group = gl_WorkGroupID.y, n = gl_WorkGroupID.z, cg = c / groups;
    uint lo = chunk * size, count = (min(px, lo + size) - lo) * cg, base = (n * px + lo) * c + group * cg;
    float s = 0;
    for (uint i = gl_LocalInvocationID.x; i < count; i += 256) s += x[base + i / cg * c + i % cg];
    float mean = groupSum(s) / count;
    s = 0;
    for (uint i = gl_LocalInvocationID.x; i < count; i += 256) {
        float v = x[base + i / cg * c + i % cg] - mean;
        s += v * v;
    }
    s = groupSum(s);
    if (gl_LocalInvocationID.x == 0) {
        uint at = ((n * groups + group) * gl_NumWorkGroups.x + chunk) * 2;
        part[at] = mean;
        part[at + 1] = s;
    }
}
