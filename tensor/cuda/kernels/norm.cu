// Group norm and layer norm, softmax, and their gradients.
//
// Group norm of x[n,px,c] takes three steps: moments of each channel over chunks of pixels, with whole warps on
// neighbouring channels; those of the groups, in float64, which give a scale and a shift for each channel; and the
// element-wise rest. Its gradient takes the same three.

// mean and spread (the sum of squared distances from the mean) of a channel over a chunk: part[n][chunk][2][c].
// Blocks of 32 channels by 8 pixels, a grid of channels (x), chunks of size pixels (y) and pictures (z).
KERNEL groupMoments(float* part, const float* x, Index px, int c, int size) {
    __shared__ float shared[2][8][32];
    int lane = threadIdx.x % 32, line = threadIdx.x / 32;
    int channel = blockIdx.x * 32 + lane;
    Index from = (Index)blockIdx.y * size, to = from + size < px ? from + size : px;
    float s1 = 0.0f, s2 = 0.0f, first = 0.0f;
    if (channel < c) {
        const float* p = x + (Index)blockIdx.z * px * c + channel;
        first = p[from * c]; // sums of distances from it do not cancel as those of the numbers do
        for (Index r = from + line; r < to; r += 8) {
            float v = p[r * c] - first;
            s1 += v;
            s2 += v * v;
        }
    }
    shared[0][line][lane] = s1;
    shared[1][line][lane] = s2;
    __syncthreads();
    if (line == 0 && channel < c) {
        for (int k = 1; k < 8; k++) {
            s1 += shared[0][k][lane];
            s2 += shared[1][k][lane];
        }
        float count = (float)(to - from), mean = s1 / count;
        float* out = part + ((Index)blockIdx.z * gridDim.y + blockIdx.y) * 2 * c + channel;
        out[0] = first + mean;
        out[c] = fmaxf(s2 - s1 * mean, 0.0f);
    }
}

// stats[n][groups][2], and scale and shift[n][c] of the channels. A block for each group (x) of each picture (y).
// each is the distance from the gamma of a picture to the next one's: c, or 0 where all have the same.
KERNEL groupStats(float* stats, float* scale, float* shift, const float* part, const float* gamma, const float* beta,
                  Index px, int c, int groups, int chunks, int size, int each, float eps) {
    __shared__ double shared[128];
    int per = c / groups, group = blockIdx.x, item = blockIdx.y;
    const float* p = part + (Index)item * chunks * 2 * c + group * per;
    Index entries = (Index)chunks * per;
    double sum = 0.0;
    for (Index i = threadIdx.x; i < entries; i += blockDim.x) {
        Index chunk = i / per, left = px - chunk * size;
        sum += (double)(left < size ? left : size) * p[chunk * 2 * c + i % per];
    }
    double count = (double)px * per, mean = blockSum(sum, shared) / count;
    sum = 0.0;
    for (Index i = threadIdx.x; i < entries; i += blockDim.x) {
        Index chunk = i / per, left = px - chunk * size;
        double off = p[chunk * 2 * c + i % per] - mean;
        sum += (double)(left < size ? left : size) * off * off + p[chunk * 2 * c + c + i % per];
    }
    double rstd = 1.0 / sqrt(blockSum(sum, shared) / count + eps);
    if (threadIdx.x == 0) {
        stats[2 * ((Index)item * groups + group)] = (float)mean;
        stats[2 * ((Index)item * groups + group) + 1] = (float)rstd;
    }
    for (int j = threadIdx.x; j < per; j += blockDim.x) {
        int channel = group * per + j;
        double s = rstd * gamma[(Index)item * each + channel];
        scale[(Index)item * c + channel] = (float)s;
        shift[(Index)item * c + channel] = (float)(beta[(Index)item * each + channel] - s * mean);
    }
}

KERNEL groupApply(float* y, const float* x, const float* scale, const float* shift, int c, Index perItem, int silu,
                  Index n) {
    EACH(i, n) {
        Index at = i / perItem * c + i % c;
        float v = scale[at] * x[i] + shift[at];
        y[i] = silu ? v * sigmoid(v) : v;
    }
}

// du of one element: the gradient behind the SiLU.
__device__ __forceinline__ float behind(float dy, float x, float mean, float rstd, float gamma, float beta, int silu) {
    return silu ? dy * slope(SILU, (x - mean) * rstd * gamma + beta) : dy;
}

// part[n][chunk][2][c] = the sums of du and of du*(x-mean), over a chunk.
KERNEL groupGradSums(float* part, const float* dy, const float* x, const float* stats, const float* gamma,
                     const float* beta, Index px, int c, int groups, int size, int each, int silu) {
    __shared__ float shared[2][8][32];
    int lane = threadIdx.x % 32, line = threadIdx.x / 32, item = blockIdx.z;
    int channel = blockIdx.x * 32 + lane;
    Index from = (Index)blockIdx.y * size, to = from + size < px ? from + size : px;
    float s1 = 0.0f, s2 = 0.0f;
    if (channel < c) {
        const float* st = stats + 2 * ((Index)item * groups + channel / (c / groups));
        float mean = st[0], rstd = st[1];
        float g = gamma[(Index)item * each + channel], b = beta[(Index)item * each + channel];
        Index base = (Index)item * px * c + channel;
        for (Index r = from + line; r < to; r += 8) {
            float v = x[base + r * c], du = behind(dy[base + r * c], v, mean, rstd, g, b, silu);
            s1 += du;
            s2 += du * (v - mean);
        }
    }
    shared[0][line][lane] = s1;
    shared[1][line][lane] = s2;
    __syncthreads();
    if (line == 0 && channel < c) {
        for (int k = 1; k < 8; k++) {
            s1 += shared[0][k][lane];
            s2 += shared[1][k][lane];
        }
        float* out = part + ((Index)item * gridDim.y + blockIdx.y) * 2 * c + channel;
        out[0] = s1;
        out[c] = s2;
    }
}

// coef[n][groups][2]: dx = rstd*gamma*du + coef[0]*x + coef[1]. A block for each group (x) of each picture (y).
KERNEL groupGradCoef(float* coef, const float* part, const float* stats, const float* gamma, Index px, int c,
                     int groups, int chunks, int each) {
    __shared__ double shared[128];
    int per = c / groups, group = blockIdx.x, item = blockIdx.y;
    const float* p = part + (Index)item * chunks * 2 * c + group * per;
    Index entries = (Index)chunks * per;
    double s1 = 0.0, s2 = 0.0;
    for (Index i = threadIdx.x; i < entries; i += blockDim.x) {
        int j = i % per;
        double g = gamma[(Index)item * each + group * per + j];
        const float* q = p + i / per * 2 * c + j;
        s1 += g * q[0];
        s2 += g * q[c];
    }
    s1 = blockSum(s1, shared);
    s2 = blockSum(s2, shared);
    if (threadIdx.x == 0) {
        Index at = 2 * ((Index)item * groups + group);
        double mean = stats[at], rstd = stats[at + 1], count = (double)px * per;
        double b = -rstd * rstd * rstd * s2 / count;
        coef[at] = (float)b;
        coef[at + 1] = (float)(-rstd * s1 / count - b * mean);
    }
}

// dx may be dy.
KERNEL groupGradApply(float* dx, const float* dy, const float* x, const float* stats, const float* coef,
                      const float* gamma, const float* beta, int c, int groups, int each, Index perItem, int silu,
                      Index n) {
    EACH(i, n) {
        int channel = i % c;
        Index item = i / perItem, at = 2 * (item * groups + channel / (c / groups));
        float g = gamma[item * each + channel], v = x[i], rstd = stats[at + 1];
        float du = behind(dy[i], v, stats[at], rstd, g, beta[item * each + channel], silu);
        dx[i] = rstd * g * du + (coef[at] * v + coef[at + 1]);
    }
}

// dgamma and dbeta[rows][c], of each picture (each > 0) or of all n together; count is rows*c.
KERNEL groupScaleGrads(float* dgamma, float* dbeta, const float* part, const float* stats, int n, int c, int groups,
                       int chunks, int each, Index count) {
    EACH(i, count) {
        int channel = i % c, from = each > 0 ? i / c : 0, to = each > 0 ? from + 1 : n;
        double g = 0.0, b = 0.0;
        for (int item = from; item < to; item++) {
            double rstd = stats[2 * ((Index)item * groups + channel / (c / groups)) + 1];
            for (int k = 0; k < chunks; k++) {
                const float* p = part + ((Index)item * chunks + k) * 2 * c + channel;
                b += p[0];
                g += p[c] * rstd;
            }
        }
        dgamma[i] = (float)g;
        dbeta[i] = (float)b;
    }
}

// A warp for each row of x[rows,c]; stats[rows][2].
KERNEL layerNorm(float* y, float* stats, const float* x, const float* gamma, const float* beta, int c, float eps,
                 Index rows) {
    int lane = threadIdx.x % 32;
    Index row = (Index)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    const float* p = x + row * c;
    float sum = 0.0f, first = p[0];
    for (int j = lane; j < c; j += 32) sum += p[j] - first;
    float mean = first + warpSum(sum) / c;
    sum = 0.0f;
    for (int j = lane; j < c; j += 32) sum += (p[j] - mean) * (p[j] - mean);
    float rstd = 1.0f / sqrtf(warpSum(sum) / c + eps);
    if (lane == 0) {
        stats[2 * row] = mean;
        stats[2 * row + 1] = rstd;
    }
    for (int j = lane; j < c; j += 32) y[row * c + j] = (p[j] - mean) * rstd * gamma[j] + beta[j];
}

KERNEL layerNormGrad(float* dx, const float* dy, const float* x, const float* stats, const float* gamma, int c,
                     Index rows) {
    int lane = threadIdx.x % 32;
    Index row = (Index)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    float mean = stats[2 * row], rstd = stats[2 * row + 1], s1 = 0.0f, s2 = 0.0f;
    for (int j = lane; j < c; j += 32) {
        float g = dy[row * c + j] * gamma[j];
        s1 += g;
        s2 += g * (x[row * c + j] - mean) * rstd;
    }
    s1 = warpSum(s1) / c;
    s2 = warpSum(s2) / c;
    for (int j = lane; j < c; j += 32) {
        float g = dy[row * c + j] * gamma[j];
        dx[row * c + j] = rstd * (g - s1 - (x[row * c + j] - mean) * rstd * s2);
    }
}

// part[chunk][2][c] = the sums of dy and of dy*xhat over a chunk of size rows; blocks as in groupMoments.
KERNEL layerNormSums(float* part, const float* dy, const float* x, const float* stats, Index rows, int c, int size) {
    __shared__ float shared[2][8][32];
    int lane = threadIdx.x % 32, line = threadIdx.x / 32;
    int column = blockIdx.x * 32 + lane;
    Index from = (Index)blockIdx.y * size, to = from + size < rows ? from + size : rows;
    float s1 = 0.0f, s2 = 0.0f;
    if (column < c)
        for (Index r = from + line; r < to; r += 8) {
            float d = dy[r * c + column];
            s1 += d;
            s2 += d * (x[r * c + column] - stats[2 * r]) * stats[2 * r + 1];
        }
    shared[0][line][lane] = s1;
    shared[1][line][lane] = s2;
    __syncthreads();
    if (line == 0 && column < c) {
        for (int k = 1; k < 8; k++) {
            s1 += shared[0][k][lane];
            s2 += shared[1][k][lane];
        }
        part[(Index)blockIdx.y * 2 * c + column] = s1;
        part[((Index)blockIdx.y * 2 + 1) * c + column] = s2;
    }
}

// A block for each row of x[rows,c].
KERNEL softmax(float* y, const float* x, int c) {
    __shared__ float shared[256];
    const float* p = x + (Index)blockIdx.x * c;
    float* out = y + (Index)blockIdx.x * c;
    float most = p[0];
    for (int j = threadIdx.x; j < c; j += blockDim.x) most = fmaxf(most, p[j]);
    most = blockMax(most, shared);
    float sum = 0.0f;
    for (int j = threadIdx.x; j < c; j += blockDim.x) sum += expf(p[j] - most);
    float inverse = 1.0f / blockSum(sum, shared);
    for (int j = threadIdx.x; j < c; j += blockDim.x) out[j] = expf(p[j] - most) * inverse;
}

// dx = y*(dy - <dy,y>); dx may be dy.
KERNEL softmaxGrad(float* dx, const float* dy, const float* y, int c) {
    __shared__ float shared[256];
    Index base = (Index)blockIdx.x * c;
    float sum = 0.0f;
    for (int j = threadIdx.x; j < c; j += blockDim.x) sum += dy[base + j] * y[base + j];
    sum = blockSum(sum, shared);
    for (int j = threadIdx.x; j < c; j += blockDim.x) dx[base + j] = y[base + j] * (dy[base + j] - sum);
}
