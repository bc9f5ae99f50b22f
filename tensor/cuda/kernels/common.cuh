// What all kernels share; it stands before each of the files when they are compiled. Nothing is included, so that
// NVRTC needs no headers. The same text compiles as C++ for the processor behind emulator/src/emulator.h.
//
// Sizes of tensors are 64 bits wide (Index), sizes of sides 32. Blocks have as many threads as the host says.

typedef long long Index;

#define KERNEL extern "C" __global__ void

// EACH goes over 0 <= i < n with all threads of the grid.
#define EACH(i, n) \
    for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (Index)gridDim.x * blockDim.x)

__device__ __forceinline__ int imin(int a, int b) { return a < b ? a : b; }
__device__ __forceinline__ int imax(int a, int b) { return a > b ? a : b; }

// The element-wise functions, in the order of tensor.Func.
enum { IDENTITY, SILU, GELU, QUICK_GELU, EXP, ABS, RELU, TANH };

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ __forceinline__ float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }
__device__ __forceinline__ float geluSlope(float x) {
    return 0.5f * (1.0f + erff(x * 0.70710678f)) + x * 0.39894228f * expf(-0.5f * x * x);
}

__device__ __forceinline__ float apply(int f, float x) {
    switch (f) {
    case SILU: return x * sigmoid(x);
    case GELU: return gelu(x);
    case QUICK_GELU: return x * sigmoid(1.702f * x);
    case EXP: return expf(x);
    case ABS: return fabsf(x);
    case RELU: return x < 0.0f ? 0.0f : x; // NaN stays
    case TANH: return tanhf(x);
    }
    return x;
}

__device__ __forceinline__ float slope(int f, float x) {
    float s;
    switch (f) {
    case SILU: s = sigmoid(x); return s + x * s * (1.0f - s);
    case GELU: return geluSlope(x);
    case QUICK_GELU: s = sigmoid(1.702f * x); return s + 1.702f * x * s * (1.0f - s);
    case EXP: return expf(x);
    case ABS: return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f;
    case RELU: return x > 0.0f ? 1.0f : 0.0f;
    case TANH: s = tanhf(x); return 1.0f - s * s;
    }
    return 1.0f;
}

// Sums over the 32 lanes of a warp: each lane gets the same bits.
__device__ __forceinline__ float warpSum(float v) {
    for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}
__device__ __forceinline__ float warpMax(float v) {
    for (int d = 16; d > 0; d >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
    return v;
}

// blockSum adds v over a block of up to 1024 threads, in a fixed order; shared holds one element for each thread. All
// threads get the sum, and shared may be used again at once.
template <class T> __device__ __forceinline__ T blockSum(T v, T* shared) {
    int i = threadIdx.x, n = blockDim.x;
    shared[i] = v;
    __syncthreads();
    while (n > 1) {
        int half = (n + 1) / 2;
        if (i + half < n) shared[i] += shared[i + half];
        n = half;
        __syncthreads();
    }
    v = shared[0];
    __syncthreads();
    return v;
}
__device__ __forceinline__ float blockMax(float v, float* shared) {
    int i = threadIdx.x, n = blockDim.x;
    shared[i] = v;
    __syncthreads();
    while (n > 1) {
        int half = (n + 1) / 2;
        if (i + half < n) shared[i] = fmaxf(shared[i], shared[i + half]);
        n = half;
        __syncthreads();
    }
    v = shared[0];
    __syncthreads();
    return v;
}
