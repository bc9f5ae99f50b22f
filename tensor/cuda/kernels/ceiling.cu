// What the GPU can do at best, for measurements: multiply-adds on registers. y keeps the compiler from leaving them
// out.

KERNEL multiplyAdds(float* y, int rounds, float a, float b) {
    float v[16];
#pragma unroll
    for (int i = 0; i < 16; i++) v[i] = (float)(threadIdx.x + i);
    for (int k = 0; k < rounds; k++) {
#pragma unroll
        for (int i = 0; i < 16; i++) v[i] = v[i] * a + b;
    }
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 16; i++) sum += v[i];
    if (sum == 1.25f) y[0] = sum;
}
