#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "geometry.glsl"

// A convolution, or with GRAD its gradient to the input, as a product of matrices y[M,N] = a[M,taps*K] b[taps*K,N]:
// the rows of a are gathered from x as they are needed. A work group makes 64 rows and 64 columns, and each of its
// members 4 x 4 of them in registers, from parts of 16 long that lie in shared memory.
layout(local_size_x = 256) in;
BUFFER(1, readonly, b);
BUFFER(2, readonly, add);
BUFFER(3, readonly, x); // [*,inH,inW,K]
INDEX_BUFFER(4, w);     // [KH*KW,I4,O4], float32 or, with HALVES, two of float16 in a word
layout(constant_id = 1) const bool HALVES = false;

const uint TILE = 64, DEPTH = 16;

shared float as[DEPTH][TILE + 1];
shared float bs[DEPTH][TILE + 1];

float weight(uint i) {
    return HALVES ? unpackHalf2x16(w[i / 2])[i % 2] : uintBitsToFloat(w[i]);
}

// finish writes a sum: y = scale*(s + bias) + add, rounded after each operation.
void finish(uint m, uint n, float s) {
    if (m >= M || n >= N) return;
    precise float v = s;
    if (bias != 0) v = v + b[n];
    v = v * scale;
    if (more != 0) v = v + add[m * N + n];
    y[m * N + n] = v;
}

void main() {
    uint id = gl_LocalInvocationID.x, tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint wide = (N + TILE - 1) / TILE, m0 = tile / wide * TILE, n0 = tile % wide * TILE, N4 = fours(N), K4 = fours(K);
    if (m0 >= M) return;
    Row rows[4]; // of a that this member fetches
    for (uint i = 0; i < 4; i++) rows[i] = rowOf(m0 + id / 16 + 16 * i);
    float acc[4][4];
    for (uint i = 0; i < 4; i++) for (uint j = 0; j < 4; j++) acc[i][j] = 0;
    uint ty = id / 16 * 4, tx = id % 16 * 4;
    for (uint tap = 0; tap < KH * KW; tap++) {
        int from[4];
        for (uint i = 0; i < 4; i++) from[i] = source(rows[i], tap);
        for (uint k0 = 0; k0 < K; k0 += DEPTH) {
            for (uint i = 0; i < 4; i++) {
                uint k = k0 + id % 16;
                as[id % 16][id / 16 + 16 * i] = from[i] >= 0 && k < K ? x[from[i] * int(K) + k] : 0;
            }
            for (uint i = 0; i < 4; i++) { // neighbours read neighbours
                uint kk = GRAD ? id % 16 : id / 64 + 4 * i, nn = GRAD ? id / 16 + 16 * i : id % 64;
                uint k = k0 + kk, n = n0 + nn;
                bs[kk][nn] = k < K4 && n < N4 ? weight(tap * K4 * N4 + (GRAD ? n * K4 + k : k * N4 + n)) : 0;
            }
            barrier();
            for (uint kk = 0; kk < DEPTH; kk++) {
                float a[4], b[4];
                for (uint i = 0; i < 4; i++) a[i] = as[kk][ty + i];
                for (uint j = 0; j < 4; j++) b[j] = bs[kk][tx + j];
                for (uint i = 0; i < 4; i++) for (uint j = 0; j < 4; j++) acc[i][j] += a[i] * b[j];
            }
            barrier();
        }
    }
    for (uint i = 0; i < 4; i++) {
        for (uint j = 0; j < 4; j++) finish(m0 + ty + i, n0 + tx + j, acc[i][j]);
    }
}
