// Products of tensor cores whose factors are rounded to float16, in which weights are stored. Gradients are products
// in bfloat16: they may be too small for float16, whose least number is 6e-8.
// capability 80
#include "cores.cuh"
#include "gather.cuh"
#include "tensorcore.cuh"

TILES(f16Forward, F16, F16, FORWARD)
TILES(f16ToInput, F16, BF16, TO_INPUT)

KERNEL f16From(Half* y, const float* x, Index n) { EACH(i, n) y[i] = (Half)pairOf<F16>(x[i], 0.0f); }
KERNEL f16Wide(float* y, const Half* x, Index n) { EACH(i, n) y[i] = wide<F16>(x[i], 0); }
KERNEL f16Rounds(float* y, int n) { rounds<F16>(y, n); }
