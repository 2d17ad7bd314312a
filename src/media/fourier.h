/* The discrete Fourier transform of any length, fast where its prime factors are small.
 *
 *     fourier f = {0};
 *     TRY(fourier_open(&f, 320, err));
 *     fourier_run(&f, in, out);        // from several threads at once if need be
 * out:
 *     fourier_close(&f); */
#ifndef MEDIA_FOURIER_H
#define MEDIA_FOURIER_H

#include "base/error.h"

enum { FOURIER_MOST = 4096 };

typedef struct complex_float {
    float re, im;
} complex_float;

static inline complex_float complex_product(complex_float a, complex_float b) {
    return (complex_float){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

typedef struct fourier {
    int size;
    complex_float *root; /* [size]: exp(-2 pi i k / size) */
} fourier;

int fourier_open(fourier *f, int size, pcv_error *err); /* size 1 to FOURIER_MOST */
void fourier_close(fourier *f);

/* out[k] = sum over n of in[n] exp(-2 pi i n k / size); both [size], not the same memory. */
void fourier_run(const fourier *f, const complex_float *in, complex_float *out);

#endif
