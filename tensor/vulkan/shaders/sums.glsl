// Sums and maxima over the 256 members of a work group, in a fixed order; all of them get the result.

shared float shares[256];

float groupSum(float v) {
    uint id = gl_LocalInvocationID.x;
    barrier(); // an earlier result is still being read
    shares[id] = v;
    for (uint width = 128; width > 0; width /= 2) {
        barrier();
        if (id < width) shares[id] += shares[id + width];
    }
    barrier();
    return shares[0];
}

float groupMax(float v) {
    uint id = gl_LocalInvocationID.x;
    barrier();
    shares[id] = v;
    for (uint width = 128; width > 0; width /= 2) {
        barrier();
        if (id < width) shares[id] = max(shares[id], shares[id + width]);
    }
    barrier();
    return shares[0];
}
