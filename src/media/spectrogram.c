#include "media/spectrogram.h"
#include "base/mem.h"
#include "media/fourier.h"
#include "media/picture.h"

#include <math.h>
#include <string.h>

enum { COLUMNS = 2000, COLOURS = 64 };

typedef struct spectra {
    fourier f;
    float window[SPECTRUM];
} spectra;

static int spectra_open(spectra *s, pcv_error *err) {
    for (int i = 0; i < SPECTRUM; i++) /* a full sine's bin: (4 / SPECTRUM times the sum / 2)^2 = 1 */
        s->window[i] = (float)((1 - cos(2 * M_PI * (i + 0.5) / SPECTRUM)) * 2 / SPECTRUM);
    return fourier_open(&s->f, SPECTRUM, err);
}

/* power [SPECTRUM_BINS], without that of the mean; behind the end there is silence. */
static void spectrum(const spectra *s, const float *samples, size_t count, float *power) {
    complex_float in[SPECTRUM], out[SPECTRUM];
    for (size_t i = 0; i < SPECTRUM; i++) in[i] = (complex_float){i < count ? s->window[i] * samples[i] : 0, 0};
    fourier_run(&s->f, in, out);
    for (int k = 0; k < SPECTRUM_BINS; k++)
        power[k] = out[k + 1].re * out[k + 1].re + out[k + 1].im * out[k + 1].im;
}

/* ------------------------------------------------------------------ the picture */

/* power [columns, SPECTRUM_BINS] -> pixels, the highest frequency in the first row. */
static void shade(const float *power, int columns, uint8_t *pixels) {
    const double range = 80;
    float most = 1e-12f;
    for (int i = 0; i < columns * SPECTRUM_BINS; i++) most = power[i] > most ? power[i] : most;
    for (int c = 0; c < columns; c++)
        for (int k = 0; k < SPECTRUM_BINS; k++) {
            double x = 1 + 10 * log10((double)power[c * SPECTRUM_BINS + k] / (double)most + 1e-30) / range;
            pixels[(SPECTRUM_BINS - 1 - k) * columns + c] = (uint8_t)((x < 0 ? 0 : x) * (COLOURS - 1) + 0.5);
        }
}

int spectrogram_draw(const char *path, const float *samples, size_t count, pcv_error *err) {
    uint8_t palette[COLOURS][3], *pixels = NULL;
    float *power = NULL;
    spectra s = {0};
    size_t step = (count + COLUMNS - 1) / COLUMNS, columns;
    int status = 0;
    if (step < SPECTRUM / 4) step = SPECTRUM / 4;
    columns = count ? (count + step - 1) / step : 1;
    TRY(spectra_open(&s, err));
    TRY(mem_get(&power, columns * SPECTRUM_BINS * sizeof *power, "a spectrogram", err));
    TRY(mem_get(&pixels, columns * SPECTRUM_BINS, "a spectrogram", err));
    for (size_t c = 0; c < columns && count; c++)
        spectrum(&s, samples + c * step, count - c * step, power + c * SPECTRUM_BINS);
    shade(power, (int)columns, pixels);
    for (int i = 0; i < COLOURS; i++) colour_of((double)i / (COLOURS - 1), palette[i]);
    TRY(picture_write_palette(path, (int)columns, SPECTRUM_BINS, pixels, palette, COLOURS, err));
out:
    fourier_close(&s.f);
    mem_free(power);
    mem_free(pixels);
    return status;
}

/* ------------------------------------------------------------------ distances */

double sound_signal_to_noise(const float *x, const float *y, size_t count) {
    double signal = 0, noise = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = (double)x[i] - (double)y[i];
        signal += (double)x[i] * (double)x[i];
        noise += difference * difference;
    }
    return 10 * log10(signal / noise);
}

int sound_spectral_distance(const float *x, const float *y, size_t count, double *distance, pcv_error *err) {
    const double least = 1e-9;
    float power[2][SPECTRUM_BINS];
    spectra s = {0};
    double sum = 0;
    int windows = 0, status = spectra_open(&s, err);
    for (size_t at = 0; at + SPECTRUM <= count && !status; at += SPECTRUM / 4, windows++) {
        double squares = 0;
        spectrum(&s, x + at, SPECTRUM, power[0]);
        spectrum(&s, y + at, SPECTRUM, power[1]);
        for (int k = 0; k < SPECTRUM_BINS; k++) {
            double d = 10 * log10(((double)power[0][k] + least) / ((double)power[1][k] + least));
            squares += d * d;
        }
        sum += sqrt(squares / SPECTRUM_BINS);
    }
    *distance = windows ? sum / windows : 0;
    fourier_close(&s.f);
    return status;
}
