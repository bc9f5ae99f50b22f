#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_ballot : require
#include "common.glsl"
#include "geometry.glsl"

// The product of conv.comp for a device that is a processor with vectors of 8 numbers, whose driver reads storage and
// shared memory number by number, but texel buffers as vectors. A work group is one vector; it makes 32 rows and 32
// columns in registers: four numbers long, each member holds those of x for 4 rows, each eighth one, and those of w
// for its four columns. x has K4 channels.
layout(local_size_x = 8) in;
layout(set = 0, binding = 1) uniform samplerBuffer x; // [*,inH,inW,K4]
layout(set = 0, binding = 2) uniform samplerBuffer w; // [KH*KW,I4,O4]
layout(set = 0, binding = 3) uniform samplerBuffer b;
layout(set = 0, binding = 4) uniform samplerBuffer add; // [M,N]; N is a multiple of four then

#define ROW(i) \
    s0[i] = fma(vec4(subgroupBroadcast(p0, i)), f, s0[i]); \
    s1[i] = fma(vec4(subgroupBroadcast(p1, i)), f, s1[i]); \
    s2[i] = fma(vec4(subgroupBroadcast(p2, i)), f, s2[i]); \
    s3[i] = fma(vec4(subgroupBroadcast(p3, i)), f, s3[i]);
#define STEP(k, columns) { float p0 = x0[k], p1 = x1[k], p2 = x2[k], p3 = x3[k]; vec4 f = columns; \
    ROW(0) ROW(1) ROW(2) ROW(3) ROW(4) ROW(5) ROW(6) ROW(7) }
#define PART(k) vec4(g0[k], g1[k], g2[k], g3[k])

vec4 pixel(int from, uint k) {
    vec4 v = texelFetch(x, int(xAt) + max(from, 0) * int(fours(K) / 4) + int(k));
    return from < 0 ? vec4(0) : v;
}

// finish writes four sums of a row: y = scale*(s + bias) + add, rounded after each operation.
void finish(uint m, uint n0, vec4 s, vec4 some) {
    if (m >= M) return;
    uint lane = gl_LocalInvocationID.x;
    precise vec4 v = s;
    if (!GRAD) { // what is not there is chosen, not branched to: the compiler of such a driver is slow
        v = bias != 0 ? v + some : v;
        v = v * scale;
        precise vec4 t = v + texelFetch(add, int(addAt + more * ((m * N + n0) / 4 + lane)));
        v = more != 0 ? t : v;
    }
    for (uint j = 0; j < 4; j++) {
        uint n = GRAD ? n0 + lane + 8 * j : n0 + 4 * lane + j;
        if (n < N) y[m * N + n] = v[j];
    }
}

void main() {
    uint lane = gl_LocalInvocationID.x, tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint wide = (N + 31) / 32, m0 = tile / wide * 32, n0 = tile % wide * 32, N4 = fours(N), K4 = fours(K);
    if (m0 >= M) return;
    Row r0 = rowOf(m0 + lane), r1 = rowOf(m0 + 8 + lane), r2 = rowOf(m0 + 16 + lane), r3 = rowOf(m0 + 24 + lane);
    vec4 s0[8], s1[8], s2[8], s3[8];
    for (uint i = 0; i < 8; i++) {
        s0[i] = vec4(0);
        s1[i] = vec4(0);
        s2[i] = vec4(0);
        s3[i] = vec4(0);
    }
    for (uint tap = 0; tap < KH * KW; tap++) {
        int f0 = source(r0, tap), f1 = source(r1, tap), f2 = source(r2, tap), f3 = source(r3, tap);
        int at = int(wAt + tap * K4 * N4 / 4);
        for (uint k = 0; k < K4 / 4; k++) {
            vec4 x0 = pixel(f0, k), x1 = pixel(f1, k), x2 = pixel(f2, k), x3 = pixel(f3, k);
            if (GRAD) { // four numbers long for each column
                vec4 g0 = texelFetch(w, at + int(min(n0 + lane, N4 - 1) * (K4 / 4) + k));
                vec4 g1 = texelFetch(w, at + int(min(n0 + lane + 8, N4 - 1) * (K4 / 4) + k));
                vec4 g2 = texelFetch(w, at + int(min(n0 + lane + 16, N4 - 1) * (K4 / 4) + k));
                vec4 g3 = texelFetch(w, at + int(min(n0 + lane + 24, N4 - 1) * (K4 / 4) + k));
                STEP(0, PART(0)) STEP(1, PART(1)) STEP(2, PART(2)) STEP(3, PART(3))
            } else { // four columns for each number
                int n = at + int(min(n0 / 4 + lane, N4 / 4 - 1) + 4 * k * (N4 / 4)), down = int(N4 / 4);
                STEP(0, texelFetch(w, n))
                STEP(1, texelFetch(w, n + down))
                STEP(2, texelFetch(w, n + 2 * down))
                STEP(3, texelFetch(w, n + 3 * down))
            }
        }
    }
    vec4 some = texelFetch(b, int(biasAt + bias * (n0 / 4 + lane)));
    for (uint i = 0; i < 8; i++) {
        finish(m0 + i, n0, s0[i], some);
        finish(m0 + 8 + i, n0, s1[i], some);
        finish(m0 + 16 + i, n0, s2[i], some);
        finish(m0 + 24 + i, n0, s3[i], some);
    }
}
