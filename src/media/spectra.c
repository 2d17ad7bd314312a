#include "media/spectra.h"
#include "base/mem.h"
#include "media/fourier.h"

#include <math.h>
#include <stdbool.h>

static float sample(const float *x, int64_t count, int64_t n) { return n >= 0 && n < count ? x[n] : 0; }

static float level(float re, float im) { return log10f(re * re + im * im + 1e-4f) + 1; }

/* Two spectra by one transform, as its real and its imaginary part: of real numbers, bin -k is bin k mirrored. */
static void two_spectra(const fourier *f, const float *hann, const float *x, int64_t count, const int64_t from[2],
                        complex_float *in, complex_float *bins, float *const out[2]) {
    int window = f->size;
    for (int i = 0; i < window; i++)
        in[i] = (complex_float){hann[i] * sample(x, count, from[0] + i), hann[i] * sample(x, count, from[1] + i)};
    fourier_run(f, in, bins);
    for (int k = 1; k <= window / 2; k++) {
        complex_float a = bins[k], b = bins[window - k];
        out[0][k - 1] = level((a.re + b.re) / 2, (a.im - b.im) / 2);
        if (out[1]) out[1][k - 1] = level((a.im + b.im) / 2, (b.re - a.re) / 2);
    }
}

int sound_spectra(const float *x, int64_t count, int64_t window, int64_t step, float *out, pcv_error *err) {
    complex_float *in = NULL, *bins = NULL;
    float *hann = NULL;
    fourier f = {0};
    int status = 0;
    TRY(mem_get(&in, (size_t)window * sizeof *in, "a spectrum", err));
    TRY(mem_get(&bins, (size_t)window * sizeof *bins, "a spectrum", err));
    TRY(mem_get(&hann, (size_t)window * sizeof *hann, "a spectrum", err));
    TRY(fourier_open(&f, (int)window, err));
    for (int64_t i = 0; i < window; i++) /* a sine's bin has half of the window's sum, times the root of 2 */
        hann[i] = (float)((1 - cos(2 * M_PI * ((double)i + 0.5) / (double)window)) * sqrt(2) / (double)window);
    for (int64_t at = 0; at < count; at += 2 * step, out += window) {
        bool both = at + step < count;
        const int64_t from[2] = {at + step / 2 - window / 2, at + step + step / 2 - window / 2};
        two_spectra(&f, hann, x, count, from, in, bins, (float *const[2]){out, both ? out + window / 2 : NULL});
    }
out:
    fourier_close(&f);
    mem_free(in);
    mem_free(bins);
    mem_free(hann);
    return status;
}
