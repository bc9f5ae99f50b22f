#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// A step of Adam with decoupled weight decay: see tensor.AdamW.
layout(local_size_x = 256) in;
layout(push_constant) uniform Constants {
    uint n;
    float rate, beta1, beta2, eps, decay, correct1, correct2, mixed;
};
BUFFER(0, , w);
BUFFER(1, , m);
BUFFER(2, , v);
BUFFER(3, , average);
BUFFER(4, readonly, g);

void main() {
    uint i = place();
    if (i >= n) return;
    float gi = g[i], mi = beta1 * m[i] + (1 - beta1) * gi, vi = beta2 * v[i] + (1 - beta2) * gi * gi, wi = w[i];
    wi -= rate * ((mi / correct1) / (sqrt(vi / correct2) + eps) + decay * wi);
    m[i] = mi;
    v[i] = vi;
    w[i] = wi;
    average[i] += mixed * (wi - average[i]);
}
