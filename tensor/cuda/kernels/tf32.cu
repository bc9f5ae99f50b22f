// Products of tensor cores whose factors are rounded to TF32; weights are stored in float32.
// capability 80
#include "cores.cuh"
#include "gather.cuh"
#include "tensorcore.cuh"

TILES(tf32Forward, TF32, TF32, FORWARD)
TILES(tf32ToInput, TF32, TF32, TO_INPUT)

KERNEL tf32Rounds(float* y, int n) { rounds<TF32>(y, n); }
