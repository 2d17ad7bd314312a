#include "media/spectra.h"
#include "base/mem.h"
#include "media/fourier.h"

#include <math.h>

int sound_spectra(const float *x, int64_t count, int64_t window, int64_t step, float *out, pcv_error *err) {
    complex_float *in = NULL, *bins = NULL;
    float *hann = NULL;
    fourier f = {0};
    int status = 0;
    TRY(mem_get(&in, (size_t)window * sizeof *in, "a spectrum", err));
    TRY(mem_get(&bins, (size_t)window * sizeof *bins, "a spectrum", err));
    TRY(mem_get(&hann, (size_t)window * sizeof *hann, "a spectrum", err));
    TRY(fourier_open(&f, (int)window, err));
    for (int64_t i = 0; i < window; i++) /* the sum over a sine's bin is half of that of the window, times sqrt(2) */
        hann[i] = (float)((1 - cos(2 * M_PI * ((double)i + 0.5) / (double)window)) * sqrt(2) / (double)window);
    for (int64_t at = 0; at < count; at += step) {
        int64_t from = at + step / 2 - window / 2;
        for (int64_t i = 0; i < window; i++) {
            int64_t n = from + i;
            in[i] = (complex_float){n >= 0 && n < count ? hann[i] * x[n] : 0, 0};
        }
        fourier_run(&f, in, bins);
        for (int64_t k = 1; k <= window / 2; k++) {
            double power = (double)(bins[k].re * bins[k].re) + (double)(bins[k].im * bins[k].im);
            *out++ = (float)(log10(power + 1e-4) + 1);
        }
    }
out:
    fourier_close(&f);
    mem_free(in);
    mem_free(bins);
    mem_free(hann);
    return status;
}
