#include "media/mdct.h"
#include "base/mem.h"

#include <math.h>

int mdct_open(mdct *m, int size, pcv_error *err) {
    CHECK(size >= 2 && size % 2 == 0 && size <= MDCT_MOST, "frames of %d samples", size);
    *m = (mdct){.size = size};
    int status = 0;
    TRY(fourier_open(&m->f, size / 2, err));
    TRY(mem_get(&m->window, 2 * (size_t)size * sizeof *m->window, "a window", err));
    TRY(mem_get(&m->twist, (size_t)size / 2 * sizeof *m->twist, "a cosine transform", err));
    for (int i = 0; i < 2 * size; i++) m->window[i] = (float)sin(M_PI * (i + 0.5) / (2 * size));
    for (int i = 0; i < size / 2; i++) {
        double angle = -M_PI * (i + 0.125) / size;
        m->twist[i] = (complex_float){(float)cos(angle), (float)sin(angle)};
    }
out:
    if (status) mdct_close(m);
    return status;
}

void mdct_close(mdct *m) {
    fourier_close(&m->f);
    mem_free(m->window);
    mem_free(m->twist);
    *m = (mdct){0};
}

/* x[k] = sqrt(2 / size) sum over n of x[n] cos(pi / size (n + 1/2) (k + 1/2)), its own inverse. */
static void cosine(const mdct *m, float *x) {
    complex_float in[FOURIER_MOST] = {{0, 0}}, out[FOURIER_MOST];
    int half = m->size / 2;
    float scale = sqrtf(2 / (float)m->size);
    for (int i = 0; i < half; i++) {
        complex_float z = {scale * x[2 * i], scale * x[m->size - 1 - 2 * i]};
        in[i] = complex_product(z, m->twist[i]);
    }
    fourier_run(&m->f, in, out);
    for (int i = 0; i < half; i++) {
        complex_float z = complex_product(out[i], m->twist[i]);
        x[2 * i] = z.re;
        x[m->size - 1 - 2 * i] = -z.im;
    }
}

/* With the windowed input in four quarters a, b, c, d: the cosine transform of (-c reversed - d, a - b reversed). */
void mdct_analyse(const mdct *m, const float *in, float *out) {
    int N = m->size, half = N / 2;
    const float *w = m->window;
    for (int i = 0; i < half; i++) {
        int c = N + half - 1 - i, d = N + half + i, b = N - 1 - i;
        out[i] = -w[c] * in[c] - w[d] * in[d];
        out[half + i] = w[i] * in[i] - w[b] * in[b];
    }
    cosine(m, out);
}

void mdct_overlap_add(const mdct *m, const float *in, float *out) {
    float folded[MDCT_MOST];
    int N = m->size, half = N / 2;
    const float *w = m->window;
    for (int i = 0; i < N; i++) folded[i] = in[i];
    cosine(m, folded);
    for (int i = 0; i < half; i++) {
        int c = N + half - 1 - i, d = N + half + i, b = N - 1 - i;
        out[c] -= w[c] * folded[i];
        out[d] -= w[d] * folded[i];
        out[i] += w[i] * folded[half + i];
        out[b] -= w[b] * folded[half + i];
    }
}
