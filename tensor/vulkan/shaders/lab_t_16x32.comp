#version 450
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_basic : require
layout(local_size_x = 8) in;
layout(push_constant) uniform Constants { uint M, N, K, A, B; };
layout(set = 0, binding = 0) writeonly buffer B0 { float y[]; };
layout(set = 0, binding = 1) uniform samplerBuffer a;
layout(set = 0, binding = 2) uniform samplerBuffer b;
#define ROW(i) acc[i] = fma(vec4(subgroupBroadcast(v, i)), w, acc[i]); low[i] = fma(vec4(subgroupBroadcast(u, i)), w, low[i]);
#define ROWS ROW(0) ROW(1) ROW(2) ROW(3) ROW(4) ROW(5) ROW(6) ROW(7)
void main() {
    uint m0 = gl_WorkGroupID.x * 16, lane = gl_LocalInvocationID.x, n = gl_WorkGroupID.y * 8 + lane;
    vec4 acc[8], low[8];
    for (uint i = 0; i < 8; i++) { acc[i] = vec4(0); low[i] = vec4(0); }
    for (uint k = 0; k < K; k += 4) {
        vec4 r = texelFetch(a, int(A + ((m0 + lane) * K + k) / 4)), s = texelFetch(a, int(A + ((m0 + 8 + lane) * K + k) / 4));
#define ONE(kk) { vec4 w = texelFetch(b, int(B + (k + kk) * (N / 4) + n)); float v = r[kk], u = s[kk]; ROWS }
        ONE(0) ONE(1) ONE(2) ONE(3)
    }
    for (uint i = 0; i < 8; i++) for (uint j = 0; j < 4; j++) { y[(m0 + i) * N + n * 4 + j] = acc[i][j];  y[(m0 + 8 + i) * N + n * 4 + j] = low[i][j]; }
}
