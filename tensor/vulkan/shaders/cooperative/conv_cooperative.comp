#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "../common.glsl"
#include "../geometry.glsl"

// The product of conv.comp, forward, on cooperative matrices of 16 x 16: factors in float16, sums in float32. A work
// group of four subgroups of 32 makes 64 x 64 numbers, each subgroup a quarter as 2 x 2 matrices.
layout(local_size_x = 128) in;
BUFFER(1, readonly, b);
BUFFER(2, readonly, add);
BUFFER(3, readonly, x); // [*,inH,inW,K]
INDEX_BUFFER(4, w);     // [KH*KW,I4,O4], two of float16 in a word

const uint TILE = 64, DEPTH = 32, A = DEPTH + 8, B = TILE + 8, C = TILE + 4; // rows in shared memory, in elements

shared int from[TILE]; // pixels of x at the place of the window under way
shared float16_t as[TILE * A];
shared float16_t bs[DEPTH * B];
shared float cs[TILE * C];

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
    uint top16 = gl_SubgroupID / 2 * 32, left16 = gl_SubgroupID % 2 * 32;
    coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> acc[2][2];
    for (uint i = 0; i < 2; i++) for (uint j = 0; j < 2; j++)
        acc[i][j] = coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(0.0);
    for (uint tap = 0; tap < KH * KW; tap++) {
        barrier();
        if (id < TILE) from[id] = source(rowOf(m0 + id), tap);
        for (uint k0 = 0; k0 < K; k0 += DEPTH) {
            barrier();
            for (uint i = 0; i < TILE * DEPTH / 128; i++) {
                uint row = id / DEPTH + 128 / DEPTH * i, kk = id % DEPTH, k = k0 + kk;
                as[row * A + kk] = float16_t(from[row] >= 0 && k < K ? x[from[row] * int(K) + k] : 0.0);
            }
            for (uint i = 0; i < DEPTH * TILE / 256; i++) {
                uint kk = id / 32 + 4 * i, nn = id % 32 * 2, k = k0 + kk, n = n0 + nn;
                uint word = k < K4 && n < N4 ? w[(tap * K4 * N4 + k * N4 + n) / 2] : 0;
                f16vec2 two = unpackFloat2x16(word);
                bs[kk * B + nn] = two.x;
                bs[kk * B + nn + 1] = two.y;
            }
            barrier();
            for (uint kk = 0; kk < DEPTH; kk += 16) {
                coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> p[2];
                coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> q[2];
                for (uint i = 0; i < 2; i++) {
                    coopMatLoad(p[i], as, (top16 + 16 * i) * A + kk, A, gl_CooperativeMatrixLayoutRowMajor);
                    coopMatLoad(q[i], bs, kk * B + left16 + 16 * i, B, gl_CooperativeMatrixLayoutRowMajor);
                }
                for (uint i = 0; i < 2; i++) for (uint j = 0; j < 2; j++)
                    acc[i][j] = coopMatMulAdd(p[i], q[j], acc[i][j]);
            }
        }
    }
    for (uint i = 0; i < 2; i++) for (uint j = 0; j < 2; j++)
        coopMatStore(acc[i][j], cs, (top16 + 16 * i) * C + left16 + 16 * j, C, gl_CooperativeMatrixLayoutRowMajor);
    barrier();
    for (uint i = 0; i < TILE * TILE / 128; i++) {
        uint row = id / TILE + 2 * i, column = id % TILE;
        finish(m0 + row, n0 + column, cs[row * C + column]);
    }
}
