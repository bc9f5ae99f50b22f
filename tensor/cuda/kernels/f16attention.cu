// Attention with factors rounded to float16; bf16attention.cu has the gradients.
// capability 80
#include "cores.cuh"
#include "rows.cuh"
#include "coresattention.cuh"

#define HEADS(D)                                                                                                   \
    KERNEL __launch_bounds__(256) f16Attend##D(float* o, float* stats, const float* q, const float* k,             \
                                                 const float* v, Attention a) {                                    \
        attend<F16, D>(o, stats, q, k, v, a);                                                                      \
    }

HEADS(48)
HEADS(80)
