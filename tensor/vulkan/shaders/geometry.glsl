// What the kernels of convolutions share: the window at each output, and what is done to the sums.

layout(constant_id = 0) const bool GRAD = false; // the gradient to the input: K are the outputs, N the inputs

layout(push_constant) uniform Constants {
    uint M, N, K;       // rows, columns, and the length of the sums for each of the window's places
    uint inH, inW;      // of x, before it is enlarged
    uint outH, outW;    // of y
    uint KH, KW, stride, top, left;
    uint up;            // 1: x is enlarged two-fold, forward only
    float scale;
    uint bias, more;    // 1: there is a bias, something to add
    uint xAt, wAt, biasAt, addAt; // in texel buffers
};
BUFFER(0, writeonly, y); // [M,N]

uint fours(uint n) { return (n + 3) / 4 * 4; }

// Row is a row of y: its picture's first row in x, and its place in units of x.
struct Row { int picture, row, col; };

Row rowOf(uint m) {
    if (m >= M) return Row(0, -1 << 20, 0); // sees nothing
    int row = int(m / outW % outH), col = int(m % outW), picture = int(m / outW / outH * inH);
    if (GRAD) return Row(picture, row + int(top), col + int(left));
    return Row(picture, row * int(stride) - int(top), col * int(stride) - int(left));
}

// source is the pixel of x at a place of a row's window; -1 for padding.
int source(Row r, uint tap) {
    int kh = int(tap / KW), kw = int(tap % KW), row, col;
    if (GRAD) {
        row = r.row - kh;
        col = r.col - kw;
        if (row < 0 || col < 0 || row % int(stride) != 0 || col % int(stride) != 0) return -1;
        row /= int(stride);
        col /= int(stride);
    } else {
        row = r.row + kh;
        col = r.col + kw;
        if (row < 0 || col < 0) return -1;
        row >>= up;
        col >>= up;
    }
    if (row >= int(inH) || col >= int(inW)) return -1;
    return (r.picture + row) * int(inW) + col;
}
