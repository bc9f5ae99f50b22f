// Sums in an order that the shape alone decides: the same bits each time.

// part[blockIdx.x] = the sum of a block's share of x (kind 0), of x*x (1), or of x*y (2).
KERNEL sums(double* part, const float* x, const float* y, int kind, Index n) {
    __shared__ double shared[256];
    double sum = 0.0;
    EACH(i, n) {
        double v = x[i];
        sum += kind == 0 ? v : kind == 1 ? v * v : v * (double)y[i];
    }
    sum = blockSum(sum, shared);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

// One block: part[0] = the sum of all.
KERNEL sumsEnd(double* part, int count) {
    __shared__ double shared[256];
    double sum = 0.0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += part[i];
    sum = blockSum(sum, shared);
    if (threadIdx.x == 0) part[0] = sum;
}

// part[item][chunk][c] = the sum of some rows of x[items,rows,c]. Blocks of 32 columns by 8 rows; a block of the grid
// for 32 columns (x), a chunk of size rows (y), and an item (z).
KERNEL columnSums(float* part, const float* x, Index rows, int c, int size) {
    __shared__ float shared[8][32];
    int lane = threadIdx.x % 32, line = threadIdx.x / 32;
    int column = blockIdx.x * 32 + lane;
    Index from = (Index)blockIdx.y * size, to = from + size < rows ? from + size : rows;
    float sum = 0.0f;
    if (column < c)
        for (Index r = from + line; r < to; r += 8) sum += x[((Index)blockIdx.z * rows + r) * c + column];
    shared[line][lane] = sum;
    __syncthreads();
    if (line == 0 && column < c) {
        for (int k = 1; k < 8; k++) sum += shared[k][lane];
        part[((Index)blockIdx.z * gridDim.y + blockIdx.y) * c + column] = sum;
    }
}

// y[item][c] = the sum over chunks of part[item][chunks][c]; n is items*c.
KERNEL columnSumsEnd(float* y, const float* part, int chunks, int c, Index n) {
    EACH(i, n) {
        const float* p = part + i / c * chunks * c + i % c;
        double sum = 0.0;
        for (int k = 0; k < chunks; k++) sum += p[(Index)k * c];
        y[i] = (float)sum;
    }
}
