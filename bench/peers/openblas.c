// Times OpenBLAS' sgemm. Reads lines "op rows in out seconds threads" and answers each with GFLOP/s, the
// mean of calls for about that long after one to warm up. The products are those of a linear layer with
// w[out][in], all row-major:
//
//	Linear            y[rows][out] = x w'
//	LinearGradInput   dx[rows][in] = dy w
//	LinearGradWeight  dw[out][in]  = dy' x
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void openblas_set_num_threads(int n);
char *openblas_get_config(void);
char *openblas_get_corename(void);

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

static float *matrix(size_t n) {
	float *m = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
	if (!m) {
		fprintf(stderr, "openblas: out of memory\n");
		exit(1);
	}
	for (size_t i = 0; i < n; i++)
		m[i] = 2.f * rand() / RAND_MAX - 1;
	return m;
}

int main(void) {
	char op[64];
	int rows, in, out, threads;
	double seconds;
	printf("%s, kernels %s\n", openblas_get_config(), openblas_get_corename());
	fflush(stdout);
	while (scanf("%63s %d %d %d %lf %d", op, &rows, &in, &out, &seconds, &threads) == 6) {
		openblas_set_num_threads(threads);
		float *x = matrix((size_t)rows * in), *y = matrix((size_t)rows * out), *w = matrix((size_t)out * in);
		double start = 0;
		long calls = -1; // the first one is to warm up
		do {
			if (calls == 0)
				start = now();
			if (!strcmp(op, "Linear"))
				cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, out, in, 1, x, in, w, in, 0, y, out);
			else if (!strcmp(op, "LinearGradInput"))
				cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, in, out, 1, y, out, w, in, 0, x, in);
			else if (!strcmp(op, "LinearGradWeight"))
				cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, rows, 1, y, out, x, in, 0, w, in);
			else {
				fprintf(stderr, "openblas: unknown operation %s\n", op);
				return 1;
			}
			calls++;
		} while (calls < 1 || now() - start < seconds);
		printf("%g\n", 2e-9 * rows * in * out * calls / (now() - start));
		fflush(stdout);
		free(x), free(y), free(w);
	}
	return 0;
}
