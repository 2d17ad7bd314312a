#include "media/fourier.h"
#include "base/mem.h"

#include <math.h>

int fourier_open(fourier *f, int size, pcv_error *err) {
    CHECK(size >= 1 && size <= FOURIER_MOST, "a transform of %d values", size);
    *f = (fourier){.size = size};
    int status = mem_get(&f->root, (size_t)size * sizeof *f->root, "a Fourier transform", err);
    for (int k = 0; k < size && !status; k++) {
        double angle = -2 * M_PI * k / size;
        f->root[k] = (complex_float){(float)cos(angle), (float)sin(angle)};
    }
    return status;
}

void fourier_close(fourier *f) {
    mem_free(f->root);
    *f = (fourier){0};
}

static int least_factor(int n) {
    for (int p = 2; p * p <= n; p++)
        if (n % p == 0) return p;
    return n;
}

/* The transform of in[0], in[step], ..., n values: that of every p-th of them, p times, put together. n step = size. */
static void part(const fourier *f, const complex_float *in, complex_float *out, int n, int step) {
    if (n == 1) {
        out[0] = in[0];
        return;
    }
    int p = least_factor(n), m = n / p;
    complex_float t[p];
    for (int r = 0; r < p; r++) part(f, in + r * step, out + r * m, m, p * step);
    for (int k = 0; k < m; k++) {
        for (int r = 0; r < p; r++) t[r] = complex_product(out[r * m + k], f->root[r * k * step]);
        for (int q = 0; q < p; q++) {
            complex_float sum = t[0];
            for (int r = 1, at = 0; r < p; r++) {
                at += q * m * step;
                if (at >= f->size) at -= f->size;
                complex_float x = complex_product(t[r], f->root[at]);
                sum.re += x.re;
                sum.im += x.im;
            }
            out[q * m + k] = sum;
        }
    }
}

void fourier_run(const fourier *f, const complex_float *in, complex_float *out) { part(f, in, out, f->size, 1); }
