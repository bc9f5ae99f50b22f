// Attention with factors rounded to bfloat16, and its gradients.
// capability 80
#include "cores.cuh"
#include "rows.cuh"
#include "coresattention.cuh"

#define HEADS(D)                                                                                                   \
    KERNEL __launch_bounds__(256) bf16Attend##D(float* o, float* stats, const float* q, const float* k,            \
                                                 const float* v, Attention a) {                                    \
        attend<BF16, D>(o, stats, q, k, v, a);                                                                     \
    }                                                                                                              \
    KERNEL __launch_bounds__(256) bf16GradQuery##D(float* dq, const float* dout, const float* stats,               \
                                                    const float* delta, const float* q, const float* k,            \
                                                    const float* v, Attention a) {                                 \
        gradQuery<BF16, D>(dq, dout, stats, delta, q, k, v, a);                                                    \
    }                                                                                                              \
    KERNEL __launch_bounds__(256) bf16GradKey##D(float* dk, float* dv, const float* dout, const float* stats,      \
                                                  const float* delta, const float* q, const float* k,              \
                                                  const float* v, Attention a) {                                   \
        gradKey<BF16, D>(dk, dv, dout, stats, delta, q, k, v, a);                                                  \
    }

HEADS(48)
HEADS(80)
