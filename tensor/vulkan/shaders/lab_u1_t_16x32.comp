#version 450
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_basic : require
layout(local_size_x = 8) in;
layout(push_constant) uniform Constants { uint M, N, K, A, B; };
layout(set = 0, binding = 0) writeonly buffer B0 { float y[]; };
layout(set = 0, binding = 1) uniform samplerBuffer a;
layout(set = 0, binding = 2) uniform samplerBuffer b;
void main() {
    uint m0 = gl_WorkGroupID.x * 16, lane = gl_LocalInvocationID.x, n = gl_WorkGroupID.y * 8 + lane;
vec4 s0_0 = vec4(0);
vec4 s1_0 = vec4(0);
vec4 s2_0 = vec4(0);
vec4 s3_0 = vec4(0);
vec4 s4_0 = vec4(0);
vec4 s5_0 = vec4(0);
vec4 s6_0 = vec4(0);
vec4 s7_0 = vec4(0);
vec4 s8_0 = vec4(0);
vec4 s9_0 = vec4(0);
vec4 s10_0 = vec4(0);
vec4 s11_0 = vec4(0);
vec4 s12_0 = vec4(0);
vec4 s13_0 = vec4(0);
vec4 s14_0 = vec4(0);
vec4 s15_0 = vec4(0);
for (uint k = 0; k < K; k += 4) {
vec4 a0_0 = texelFetch(a, int(A + ((m0 + 0 + lane) * K + k) / 4 + 0));
vec4 a0_1 = texelFetch(a, int(A + ((m0 + 8 + lane) * K + k) / 4 + 0));
vec4 w0_0_0 = texelFetch(b, int(B + (k + 0) * (N / 4) + n + 0));
{ float v = subgroupBroadcast(a0_0[0], 0);
s0_0 = fma(vec4(v), w0_0_0, s0_0);
}
{ float v = subgroupBroadcast(a0_0[0], 1);
s1_0 = fma(vec4(v), w0_0_0, s1_0);
}
{ float v = subgroupBroadcast(a0_0[0], 2);
s2_0 = fma(vec4(v), w0_0_0, s2_0);
}
{ float v = subgroupBroadcast(a0_0[0], 3);
s3_0 = fma(vec4(v), w0_0_0, s3_0);
}
{ float v = subgroupBroadcast(a0_0[0], 4);
s4_0 = fma(vec4(v), w0_0_0, s4_0);
}
{ float v = subgroupBroadcast(a0_0[0], 5);
s5_0 = fma(vec4(v), w0_0_0, s5_0);
}
{ float v = subgroupBroadcast(a0_0[0], 6);
s6_0 = fma(vec4(v), w0_0_0, s6_0);
}
{ float v = subgroupBroadcast(a0_0[0], 7);
s7_0 = fma(vec4(v), w0_0_0, s7_0);
}
{ float v = subgroupBroadcast(a0_1[0], 0);
s8_0 = fma(vec4(v), w0_0_0, s8_0);
}
{ float v = subgroupBroadcast(a0_1[0], 1);
s9_0 = fma(vec4(v), w0_0_0, s9_0);
}
{ float v = subgroupBroadcast(a0_1[0], 2);
s10_0 = fma(vec4(v), w0_0_0, s10_0);
}
{ float v = subgroupBroadcast(a0_1[0], 3);
s11_0 = fma(vec4(v), w0_0_0, s11_0);
}
{ float v = subgroupBroadcast(a0_1[0], 4);
s12_0 = fma(vec4(v), w0_0_0, s12_0);
}
{ float v = subgroupBroadcast(a0_1[0], 5);
s13_0 = fma(vec4(v), w0_0_0, s13_0);
}
{ float v = subgroupBroadcast(a0_1[0], 6);
s14_0 = fma(vec4(v), w0_0_0, s14_0);
}
{ float v = subgroupBroadcast(a0_1[0], 7);
s15_0 = fma(vec4(v), w0_0_0, s15_0);
}
vec4 w0_1_0 = texelFetch(b, int(B + (k + 1) * (N / 4) + n + 0));
{ float v = subgroupBroadcast(a0_0[1], 0);
s0_0 = fma(vec4(v), w0_1_0, s0_0);
}
{ float v = subgroupBroadcast(a0_0[1], 1);
s1_0 = fma(vec4(v), w0_1_0, s1_0);
}
{ float v = subgroupBroadcast(a0_0[1], 2);
s2_0 = fma(vec4(v), w0_1_0, s2_0);
}
{ float v = subgroupBroadcast(a0_0[1], 3);
s3_0 = fma(vec4(v), w0_1_0, s3_0);
}
{ float v = subgroupBroadcast(a0_0[1], 4);
s4_0 = fma(vec4(v), w0_1_0, s4_0);
}
{ float v = subgroupBroadcast(a0_0[1], 5);
s5_0 = fma(vec4(v), w0_1_0, s5_0);
}
{ float v = subgroupBroadcast(a0_0[1], 6);
s6_0 = fma(vec4(v), w0_1_0, s6_0);
}
{ float v = subgroupBroadcast(a0_0[1], 7);
s7_0 = fma(vec4(v), w0_1_0, s7_0);
}
{ float v = subgroupBroadcast(a0_1[1], 0);
s8_0 = fma(vec4(v), w0_1_0, s8_0);
}
{ float v = subgroupBroadcast(a0_1[1], 1);
s9_0 = fma(vec4(v), w0_1_0, s9_0);
}
{ float v = subgroupBroadcast(a0_1[1], 2);
s10_0 = fma(vec4(v), w0_1_0, s10_0);
}
{ float v = subgroupBroadcast(a0_1[1], 3);
s11_0 = fma(vec4(v), w0_1_0, s11_0);
}
{ float v = subgroupBroadcast(a0_1[1], 4);
s12_0 = fma(vec4(v), w0_1_0, s12_0);
}
{ float v = subgroupBroadcast(a0_1[1], 5);
s13_0 = fma(vec4(v), w0_1_0, s13_0);
}
{ float v = subgroupBroadcast(a0_1[1], 6);
s14_0 = fma(vec4(v), w0_1_0, s14_0);
}
{ float v = subgroupBroadcast(a0_1[1], 7);
s15_0 = fma(vec4(v), w0_1_0, s15_0);
}
vec4 w0_2_0 = texelFetch(b, int(B + (k + 2) * (N / 4) + n + 0));
{ float v = subgroupBroadcast(a0_0[2], 0);
s0_0 = fma(vec4(v), w0_2_0, s0_0);
}
{ float v = subgroupBroadcast(a0_0[2], 1);
s1_0 = fma(vec4(v), w0_2_0, s1_0);
}
{ float v = subgroupBroadcast(a0_0[2], 2);
s2_0 = fma(vec4(v), w0_2_0, s2_0);
}
{ float v = subgroupBroadcast(a0_0[2], 3);
s3_0 = fma(vec4(v), w0_2_0, s3_0);
}
{ float v = subgroupBroadcast(a0_0[2], 4);
s4_0 = fma(vec4(v), w0_2_0, s4_0);
}
{ float v = subgroupBroadcast(a0_0[2], 5);
s5_0 = fma(vec4(v), w0_2_0, s5_0);
}
{ float v = subgroupBroadcast(a0_0[2], 6);
s6_0 = fma(vec4(v), w0_2_0, s6_0);
}
{ float v = subgroupBroadcast(a0_0[2], 7);
s7_0 = fma(vec4(v), w0_2_0, s7_0);
}
{ float v = subgroupBroadcast(a0_1[2], 0);
s8_0 = fma(vec4(v), w0_2_0, s8_0);
}
{ float v = subgroupBroadcast(a0_1[2], 1);
s9_0 = fma(vec4(v), w0_2_0, s9_0);
}
{ float v = subgroupBroadcast(a0_1[2], 2);
s10_0 = fma(vec4(v), w0_2_0, s10_0);
}
{ float v = subgroupBroadcast(a0_1[2], 3);
s11_0 = fma(vec4(v), w0_2_0, s11_0);
}
{ float v = subgroupBroadcast(a0_1[2], 4);
s12_0 = fma(vec4(v), w0_2_0, s12_0);
}
{ float v = subgroupBroadcast(a0_1[2], 5);
s13_0 = fma(vec4(v), w0_2_0, s13_0);
}
{ float v = subgroupBroadcast(a0_1[2], 6);
s14_0 = fma(vec4(v), w0_2_0, s14_0);
}
{ float v = subgroupBroadcast(a0_1[2], 7);
s15_0 = fma(vec4(v), w0_2_0, s15_0);
}
vec4 w0_3_0 = texelFetch(b, int(B + (k + 3) * (N / 4) + n + 0));
{ float v = subgroupBroadcast(a0_0[3], 0);
s0_0 = fma(vec4(v), w0_3_0, s0_0);
}
{ float v = subgroupBroadcast(a0_0[3], 1);
s1_0 = fma(vec4(v), w0_3_0, s1_0);
}
{ float v = subgroupBroadcast(a0_0[3], 2);
s2_0 = fma(vec4(v), w0_3_0, s2_0);
}
{ float v = subgroupBroadcast(a0_0[3], 3);
s3_0 = fma(vec4(v), w0_3_0, s3_0);
}
{ float v = subgroupBroadcast(a0_0[3], 4);
s4_0 = fma(vec4(v), w0_3_0, s4_0);
}
{ float v = subgroupBroadcast(a0_0[3], 5);
s5_0 = fma(vec4(v), w0_3_0, s5_0);
}
{ float v = subgroupBroadcast(a0_0[3], 6);
s6_0 = fma(vec4(v), w0_3_0, s6_0);
}
{ float v = subgroupBroadcast(a0_0[3], 7);
s7_0 = fma(vec4(v), w0_3_0, s7_0);
}
{ float v = subgroupBroadcast(a0_1[3], 0);
s8_0 = fma(vec4(v), w0_3_0, s8_0);
}
{ float v = subgroupBroadcast(a0_1[3], 1);
s9_0 = fma(vec4(v), w0_3_0, s9_0);
}
{ float v = subgroupBroadcast(a0_1[3], 2);
s10_0 = fma(vec4(v), w0_3_0, s10_0);
}
{ float v = subgroupBroadcast(a0_1[3], 3);
s11_0 = fma(vec4(v), w0_3_0, s11_0);
}
{ float v = subgroupBroadcast(a0_1[3], 4);
s12_0 = fma(vec4(v), w0_3_0, s12_0);
}
{ float v = subgroupBroadcast(a0_1[3], 5);
s13_0 = fma(vec4(v), w0_3_0, s13_0);
}
{ float v = subgroupBroadcast(a0_1[3], 6);
s14_0 = fma(vec4(v), w0_3_0, s14_0);
}
{ float v = subgroupBroadcast(a0_1[3], 7);
s15_0 = fma(vec4(v), w0_3_0, s15_0);
}
}
y[(m0 + 0) * N + (n + 0) * 4 + 0] = s0_0[0];
y[(m0 + 0) * N + (n + 0) * 4 + 1] = s0_0[1];
y[(m0 + 0) * N + (n + 0) * 4 + 2] = s0_0[2];
y[(m0 + 0) * N + (n + 0) * 4 + 3] = s0_0[3];
y[(m0 + 1) * N + (n + 0) * 4 + 0] = s1_0[0];
y[(m0 + 1) * N + (n + 0) * 4 + 1] = s1_0[1];
y[(m0 + 1) * N + (n + 0) * 4 + 2] = s1_0[2];
y[(m0 + 1) * N + (n + 0) * 4 + 3] = s1_0[3];
y[(m0 + 2) * N + (n + 0) * 4 + 0] = s2_0[0];
y[(m0 + 2) * N + (n + 0) * 4 + 1] = s2_0[1];
y[(m0 + 2) * N + (n + 0) * 4 + 2] = s2_0[2];
y[(m0 + 2) * N + (n + 0) * 4 + 3] = s2_0[3];
y[(m0 + 3) * N + (n + 0) * 4 + 0] = s3_0[0];
y[(m0 + 3) * N + (n + 0) * 4 + 1] = s3_0[1];
y[(m0 + 3) * N + (n + 0) * 4 + 2] = s3_0[2];
y[(m0 + 3) * N + (n + 0) * 4 + 3] = s3_0[3];
y[(m0 + 4) * N + (n + 0) * 4 + 0] = s4_0[0];
y[(m0 + 4) * N + (n + 0) * 4 + 1] = s4_0[1];
y[(m0 + 4) * N + (n + 0) * 4 + 2] = s4_0[2];
y[(m0 + 4) * N + (n + 0) * 4 + 3] = s4_0[3];
y[(m0 + 5) * N + (n + 0) * 4 + 0] = s5_0[0];
y[(m0 + 5) * N + (n + 0) * 4 + 1] = s5_0[1];
y[(m0 + 5) * N + (n + 0) * 4 + 2] = s5_0[2];
y[(m0 + 5) * N + (n + 0) * 4 + 3] = s5_0[3];
y[(m0 + 6) * N + (n + 0) * 4 + 0] = s6_0[0];
y[(m0 + 6) * N + (n + 0) * 4 + 1] = s6_0[1];
y[(m0 + 6) * N + (n + 0) * 4 + 2] = s6_0[2];
y[(m0 + 6) * N + (n + 0) * 4 + 3] = s6_0[3];
y[(m0 + 7) * N + (n + 0) * 4 + 0] = s7_0[0];
y[(m0 + 7) * N + (n + 0) * 4 + 1] = s7_0[1];
y[(m0 + 7) * N + (n + 0) * 4 + 2] = s7_0[2];
y[(m0 + 7) * N + (n + 0) * 4 + 3] = s7_0[3];
y[(m0 + 8) * N + (n + 0) * 4 + 0] = s8_0[0];
y[(m0 + 8) * N + (n + 0) * 4 + 1] = s8_0[1];
y[(m0 + 8) * N + (n + 0) * 4 + 2] = s8_0[2];
y[(m0 + 8) * N + (n + 0) * 4 + 3] = s8_0[3];
y[(m0 + 9) * N + (n + 0) * 4 + 0] = s9_0[0];
y[(m0 + 9) * N + (n + 0) * 4 + 1] = s9_0[1];
y[(m0 + 9) * N + (n + 0) * 4 + 2] = s9_0[2];
y[(m0 + 9) * N + (n + 0) * 4 + 3] = s9_0[3];
y[(m0 + 10) * N + (n + 0) * 4 + 0] = s10_0[0];
y[(m0 + 10) * N + (n + 0) * 4 + 1] = s10_0[1];
y[(m0 + 10) * N + (n + 0) * 4 + 2] = s10_0[2];
y[(m0 + 10) * N + (n + 0) * 4 + 3] = s10_0[3];
y[(m0 + 11) * N + (n + 0) * 4 + 0] = s11_0[0];
y[(m0 + 11) * N + (n + 0) * 4 + 1] = s11_0[1];
y[(m0 + 11) * N + (n + 0) * 4 + 2] = s11_0[2];
y[(m0 + 11) * N + (n + 0) * 4 + 3] = s11_0[3];
y[(m0 + 12) * N + (n + 0) * 4 + 0] = s12_0[0];
y[(m0 + 12) * N + (n + 0) * 4 + 1] = s12_0[1];
y[(m0 + 12) * N + (n + 0) * 4 + 2] = s12_0[2];
y[(m0 + 12) * N + (n + 0) * 4 + 3] = s12_0[3];
y[(m0 + 13) * N + (n + 0) * 4 + 0] = s13_0[0];
y[(m0 + 13) * N + (n + 0) * 4 + 1] = s13_0[1];
y[(m0 + 13) * N + (n + 0) * 4 + 2] = s13_0[2];
y[(m0 + 13) * N + (n + 0) * 4 + 3] = s13_0[3];
y[(m0 + 14) * N + (n + 0) * 4 + 0] = s14_0[0];
y[(m0 + 14) * N + (n + 0) * 4 + 1] = s14_0[1];
y[(m0 + 14) * N + (n + 0) * 4 + 2] = s14_0[2];
y[(m0 + 14) * N + (n + 0) * 4 + 3] = s14_0[3];
y[(m0 + 15) * N + (n + 0) * 4 + 0] = s15_0[0];
y[(m0 + 15) * N + (n + 0) * 4 + 1] = s15_0[1];
y[(m0 + 15) * N + (n + 0) * 4 + 2] = s15_0[2];
y[(m0 + 15) * N + (n + 0) * 4 + 3] = s15_0[3];
}