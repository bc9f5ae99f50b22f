#version 450

// Multiply-adds on registers, for what the device can do: 12 chains in each member, 16 steps written out.
layout(local_size_x = 64) in;
layout(push_constant) uniform Constants { uint rounds; float m; float c; };
layout(set = 0, binding = 0) writeonly buffer Buffer0 { float y[]; };

void main() {
    uint id = gl_GlobalInvocationID.x;
    vec4 a = vec4(id), b = a + 1, d = a + 2;
    for (uint i = 0; i < rounds; i++) {
#define STEP a = fma(a, vec4(m), vec4(c)); b = fma(b, vec4(m), vec4(c)); d = fma(d, vec4(m), vec4(c));
#define FOUR STEP STEP STEP STEP
        FOUR FOUR FOUR FOUR
    }
    vec4 s = a + b + d;
    y[id] = s.x + s.y + s.z + s.w;
}
