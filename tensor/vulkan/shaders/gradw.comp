#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// The gradient to the weight of a convolution: part[splits,taps,I,O] = sums over size pixels of x (at the window's
// place) times dy. A work group makes 64 inputs and 64 outputs of one place, each member 4 x 4.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants {
    uint M, I, O;     // pixels of dy, channels of x and of dy
    uint inH, inW;    // of x, before it is enlarged
    uint outH, outW;  // of dy
    uint KH, KW, stride, top, left;
    uint up;
    uint size, splits;
};
BUFFER(0, writeonly, part);
BUFFER(1, readonly, x);  // [*,inH,inW,I]
BUFFER(2, readonly, dy); // [M,O]

const uint TILE = 64, DEPTH = 16;

shared float as[DEPTH][TILE + 1];
shared float bs[DEPTH][TILE + 1];

// source is where the pixel of the window at pixel m of dy lies in x; -1 for padding.
int source(uint m, uint tap) {
    int row = int(m / outW % outH * stride + tap / KW) - int(top), col = int(m % outW * stride + tap % KW) - int(left);
    if (row < 0 || col < 0) return -1;
    row >>= up;
    col >>= up;
    if (row >= int(inH) || col >= int(inW)) return -1;
    return ((int(m / outW / outH * inH) + row) * int(inW) + col) * int(I);
}

void main() {
    uint id = gl_LocalInvocationID.x, tile = gl_WorkGroupID.x, wide = (O + TILE - 1) / TILE;
    uint i0 = tile / wide * TILE, o0 = tile % wide * TILE, tap = gl_WorkGroupID.y, split = gl_WorkGroupID.z;
    uint end = min(M, (split + 1) * size);
    float acc[4][4];
    for (uint i = 0; i < 4; i++) for (uint j = 0; j < 4; j++) acc[i][j] = 0;
    uint ty = id / 16 * 4, tx = id % 16 * 4;
    for (uint m0 = split * size; m0 < end; m0 += DEPTH) {
        for (uint i = 0; i < 4; i++) {
            uint kk = id / 64 + 4 * i, m = m0 + kk, at = id % 64;
            int from = m < end && i0 + at < I ? source(m, tap) : -1;
            as[kk][at] = from >= 0 ? x[from + i0 + at] : 0;
            bs[kk][at] = m < end && o0 + at < O ? dy[m * O + o0 + at] : 0;
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
    for (uint i = 0; i < 4; i++) {
        for (uint j = 0; j < 4; j++) {
            uint ci = i0 + ty + i, o = o0 + tx + j;
            if (ci < I && o < O) part[((split * KH * KW + tap) * I + ci) * O + o] = acc[i][j];
        }
    }
}
