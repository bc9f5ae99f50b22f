// The element-wise functions, in the order of tensor.Func.

const uint IDENTITY = 0, SILU = 1, GELU = 2, QUICK_GELU = 3, EXP = 4, ABS = 5, RELU = 6, TANH = 7;

float sigmoid(float x) { return 1 / (1 + exp(-x)); }

// normal is the distribution of the standard normal numbers. GLSL has no erf: this is a fit of Chebyshev's kind with
// a relative error of 1.2e-7 (Press et al., Numerical Recipes, 6.2).
float normal(float x) {
    float z = abs(x) * 0.70710678;
    float t = 1 / (1 + 0.5 * z);
    float p = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807
        + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    float tail = 0.5 * t * exp(p - z * z);
    return x < 0 ? tail : 1 - tail;
}

float gelu(float x) { return x * normal(x); }
float geluGrad(float x) { return normal(x) + x * 0.39894228 * exp(-0.5 * x * x); }

float tanhExact(float x) {
    float a = abs(x);
    if (a < 0.1) {
        float s = x * x;
        return x * (1 + s * (-0.33333333 + s * (0.13333333 - s * 0.053968254)));
    }
    return sign(x) * (1 - 2 / (exp(2 * a) + 1));
}

float apply(uint f, float x) {
    switch (f) {
    case SILU: return x * sigmoid(x);
    case GELU: return gelu(x);
    case QUICK_GELU: return x * sigmoid(1.702 * x);
    case EXP: return exp(x);
    case ABS: return abs(x);
    case RELU: return x < 0 ? 0 : x;
    case TANH: return tanhExact(x);
    }
    return x;
}

float siluGrad(float x) {
    float s = sigmoid(x);
    return s * (1 + x * (1 - s));
}

float slope(uint f, float x) {
    float s;
    switch (f) {
    case SILU: return siluGrad(x);
    case GELU: return geluGrad(x);
    case QUICK_GELU:
        s = sigmoid(1.702 * x);
        return s + 1.702 * x * s * (1 - s);
    case EXP: return exp(x);
    case ABS: return sign(x);
    case RELU: return x > 0 ? 1 : 0;
    case TANH:
        s = tanhExact(x);
        return 1 - s * s;
    }
    return 1;
}
