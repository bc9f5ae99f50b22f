// Element-wise operations, copies and layouts: one thread for each element of the result.

KERNEL unary(int f, float* y, const float* x, Index n) { EACH(i, n) y[i] = apply(f, x[i]); }

KERNEL unaryGrad(int f, float* dx, const float* dy, const float* x, Index n) {
    EACH(i, n) dx[i] = dy[i] * slope(f, x[i]);
}

// y[rows,c] from x[rows,2c].
KERNEL geglu(float* y, const float* x, int c, Index n) {
    EACH(i, n) {
        const float* p = x + i / c * 2 * c + i % c;
        y[i] = p[0] * gelu(p[c]);
    }
}

KERNEL gegluGrad(float* dx, const float* dy, const float* x, int c, Index n) {
    EACH(i, n) {
        Index at = i / c * 2 * c + i % c;
        float a = x[at], b = x[at + c], d = dy[i];
        dx[at] = d * gelu(b);
        dx[at + c] = d * a * geluSlope(b);
    }
}

KERNEL add(float* y, const float* a, const float* b, Index n) { EACH(i, n) y[i] = a[i] + b[i]; }
KERNEL mul(float* y, const float* a, const float* b, Index n) { EACH(i, n) y[i] = a[i] * b[i]; }
KERNEL axpy(float* y, float alpha, const float* x, Index n) { EACH(i, n) y[i] += alpha * x[i]; }
KERNEL scale(float* y, float alpha, const float* x, Index n) { EACH(i, n) y[i] = alpha * x[i]; }
KERNEL fill(float* y, float v, Index n) { EACH(i, n) y[i] = v; }

// NaN stays.
KERNEL clamp(float* y, const float* x, float lo, float hi, Index n) {
    EACH(i, n) {
        float v = x[i];
        y[i] = v < lo ? lo : v > hi ? hi : v;
    }
}

KERNEL clampGrad(float* dx, const float* dy, const float* x, float lo, float hi, Index n) {
    EACH(i, n) {
        float v = x[i];
        dx[i] = v < lo || v > hi ? 0.0f : dy[i];
    }
}

// y[n,px,c] = x[n,px,c] + e[n,c].
KERNEL addChannels(float* y, const float* x, const float* e, int c, Index perItem, Index n) {
    EACH(i, n) y[i] = x[i] + e[i / perItem * c + i % c];
}

// y[rows,2w,c], rows of all pictures, from x[rows/2,w,c].
KERNEL enlarge2x(float* y, const float* x, int w, int c, Index n) {
    EACH(i, n) {
        int ch = i % c;
        Index p = i / c, row = p / (2 * w);
        int column = p % (2 * w);
        y[i] = x[(row / 2 * w + column / 2) * c + ch];
    }
}

// y[rows,w,c] from x[2 rows,2w,c].
KERNEL mean2x2(float* y, const float* x, int w, int c, Index n) {
    EACH(i, n) {
        int ch = i % c;
        Index p = i / c, row = p / w;
        int column = p % w;
        const float* s = x + (row * 2 * 2 * w + column * 2) * c + ch;
        y[i] = 0.25f * ((s[0] + s[c]) + (s[2 * w * c] + s[(2 * w + 1) * c]));
    }
}

// columns of dst[rows,dc] from src[rows,sc]; both pointers are at their first column.
KERNEL copyCols(float* dst, int dc, const float* src, int sc, int columns, Index n) {
    EACH(i, n) {
        Index row = i / columns;
        int j = i % columns;
        dst[row * dc + j] = src[row * sc + j];
    }
}

// y[windows,h,w,c] from x[1,H,pictureW,c]; at holds {row, column} of each window.
KERNEL windows(float* y, const float* x, const int* at, int h, int w, int c, int pictureW, Index n) {
    EACH(i, n) {
        int ch = i % c;
        Index p = i / c;
        int s = p % w;
        Index q = p / w;
        int r = q % h;
        const int* o = at + q / h * 2;
        y[i] = x[((Index)(o[0] + r) * pictureW + o[1] + s) * c + ch];
    }
}

// y[1,H,pictureW,c] += the windows x[count,h,w,c]: each pixel looks through all windows, in order.
KERNEL addWindows(float* y, const float* x, const int* at, int count, int h, int w, int c, int pictureW, Index n) {
    EACH(i, n) {
        int ch = i % c;
        Index p = i / c;
        int column = p % pictureW, row = p / pictureW;
        float sum = y[i];
        for (int k = 0; k < count; k++) {
            int r = row - at[2 * k], s = column - at[2 * k + 1];
            if (r >= 0 && r < h && s >= 0 && s < w) sum += x[(((Index)k * h + r) * w + s) * c + ch];
        }
        y[i] = sum;
    }
}

// y[i,c] = w[ids[i],c].
KERNEL embedding(float* y, const float* w, const int* ids, int c, Index n) {
    EACH(i, n) y[i] = w[(Index)ids[i / c] * c + i % c];
}

// dw[ids[i],c] of a table of zeros: the first position of each id adds up those of all, in order.
KERNEL embeddingGrad(float* dw, const float* dy, const int* ids, int count, int c, Index n) {
    EACH(i, n) {
        int at = i / c, j = i % c, id = ids[at];
        bool first = true;
        for (int k = 0; k < at; k++) first = first && ids[k] != id;
        if (!first) continue;
        float sum = 0.0f;
        for (int k = at; k < count; k++)
            if (ids[k] == id) sum += dy[(Index)k * c + j];
        dw[(Index)id * c + j] = sum;
    }
}

// A weight [o,i,taps], as in files, to [o,taps,i], which products read, or back.
KERNEL tapsFirst(float* y, const float* x, int inputs, int taps, int back, Index n) {
    EACH(k, n) {
        int i = k % inputs;
        Index q = k / inputs;
        int tap = q % taps;
        Index other = (q / taps * inputs + i) * taps + tap;
        if (back) y[other] = x[k];
        else y[k] = x[other];
    }
}

// y[outer,rows,inner] from x[outer,in] by the entries at[e], w[e] of each row: from start[row] to the next one's.
KERNEL sparse(float* y, const float* x, const int* start, const int* at, const float* w, int rows, int in, int inner,
              Index n) {
    EACH(i, n) {
        Index p = i / inner, outer = p / rows;
        int k = i % inner, row = p % rows;
        const float* from = x + outer * in + k;
        float sum = 0.0f;
        for (int e = start[row]; e < start[row + 1]; e++) sum = __fadd_rn(sum, __fmul_rn(w[e], from[at[e]]));
        y[i] = sum;
    }
}

// tensor.AdamW.
struct AdamW { float rate, beta1, beta2, eps, decay, correct1, correct2, mix; };

KERNEL adamW(float* w, float* m, float* v, float* average, const float* g, AdamW p, Index n) {
    EACH(i, n) {
        float d = g[i], m1 = p.beta1 * m[i] + (1.0f - p.beta1) * d, v1 = p.beta2 * v[i] + (1.0f - p.beta2) * d * d;
        m[i] = m1;
        v[i] = v1;
        float now = w[i];
        now -= p.rate * (m1 / p.correct1 / (sqrtf(v1 / p.correct2) + p.eps) + p.decay * now);
        w[i] = now;
        average[i] += p.mix * (now - average[i]);
    }
}
