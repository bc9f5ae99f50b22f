#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "geometry.glsl"

// The product of conv.comp for a device that is a processor, whose driver reads storage and shared memory number by
// number, but texel buffers as vectors. A work group is one vector of the processor; it makes 64 rows and 16 columns,
// each member eight rows. All members fetch the same numbers of w: in loops, such drivers have no quicker way to
// spread a number over a vector; broadcasts in subgroups are loops over the members there. Work groups that follow
// each other share their columns, of which w has few in each of its pages. x has K4 channels.
layout(local_size_x = 8) in;
layout(set = 0, binding = 1) uniform samplerBuffer x; // [*,inH,inW,K4]
layout(set = 0, binding = 2) uniform samplerBuffer w; // [KH*KW,I4,O4], of float32 or float16
layout(set = 0, binding = 3) uniform samplerBuffer b;
layout(set = 0, binding = 4) uniform samplerBuffer add; // [M,N]; N is a multiple of four then

const uint ROWS = 8, COLUMNS = 4; // of a member; columns by four

// finish writes four sums of a row: y = scale*(s + bias) + add, rounded after each operation.
void finish(uint m, uint n, vec4 s) {
    if (m >= M || n >= N) return;
    precise vec4 v = s;
    if (!GRAD) { // what is not there is chosen, not branched to: the compiler of such a driver is slow
        vec4 some = texelFetch(b, int(biasAt + bias * (n / 4)));
        v = bias != 0 ? v + some : v;
        v = v * scale;
        precise vec4 t = v + texelFetch(add, int(addAt + more * ((m * N + n) / 4)));
        v = more != 0 ? t : v;
    }
    for (uint i = 0; i < 4; i++) if (n + i < N) y[m * N + n + i] = v[i];
}

void main() {
    uint lane = gl_LocalInvocationID.x, tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint tall = (M + 63) / 64, m0 = tile % tall * 64 + lane, n0 = tile / tall * 16, N4 = fours(N), K4 = fours(K);
    if (n0 >= N) return;
    Row rows[ROWS];
    vec4 s[ROWS][COLUMNS];
    for (uint i = 0; i < ROWS; i++) {
        rows[i] = rowOf(m0 + 8 * i);
        for (uint c = 0; c < COLUMNS; c++) s[i][c] = vec4(0);
    }
    for (uint tap = 0; tap < KH * KW; tap++) {
        int from[ROWS], at = int(wAt + tap * K4 * N4 / 4);
        for (uint i = 0; i < ROWS; i++) from[i] = source(rows[i], tap);
        for (uint k = 0; k < K4 / 4; k++) {
            vec4 p[ROWS];
            for (uint i = 0; i < ROWS; i++) {
                vec4 v = texelFetch(x, int(xAt + max(from[i], 0) * (K4 / 4) + k));
                p[i] = from[i] < 0 ? vec4(0) : v;
            }
            for (uint c = 0; c < COLUMNS; c++) {
                mat4 f; // four columns for each of four numbers
                for (uint j = 0; j < 4; j++) {
                    if (GRAD) f[j] = texelFetch(w, at + int(min(n0 + 4 * c + j, N4 - 1) * (K4 / 4) + k));
                    else f[j] = texelFetch(w, at + int((4 * k + j) * (N4 / 4) + min(n0 / 4 + c, N4 / 4 - 1)));
                }
                if (GRAD) f = transpose(f);
                for (uint i = 0; i < ROWS; i++) {
                    for (uint j = 0; j < 4; j++) s[i][c] = fma(vec4(p[i][j]), f[j], s[i][c]);
                }
            }
        }
    }
    for (uint c = 0; c < COLUMNS; c++) {
        for (uint i = 0; i < ROWS; i++) finish(m0 + 8 * i, n0 + 4 * c, s[i][c]);
    }
}
