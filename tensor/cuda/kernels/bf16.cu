// Products of tensor cores whose factors are rounded to bfloat16, in which weights are stored.
// capability 80
#include "cores.cuh"
#include "gather.cuh"
#include "tensorcore.cuh"

TILES(bf16Forward, BF16, BF16, FORWARD)
TILES(bf16ToInput, BF16, BF16, TO_INPUT)

KERNEL bf16From(Half* y, const float* x, Index n) { EACH(i, n) y[i] = (Half)pairOf<BF16>(x[i], 0.0f); }
KERNEL bf16Wide(float* y, const Half* x, Index n) { EACH(i, n) y[i] = wide<BF16>(x[i], 0); }
KERNEL bf16Rounds(float* y, int n) { rounds<BF16>(y, n); }
