#include "media/spectrogram.h"
#include "base/file.h"
#include "base/mem.h"
#include "media/fourier.h"

#include <math.h>
#include <png.h>
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

/* Black, violet, red, yellow, white for 0 to 1. */
static void colour(double x, unsigned char rgb[3]) {
    static const double stops[][3] = {{0, 0, 4}, {87, 16, 110}, {188, 55, 84}, {249, 142, 9}, {252, 255, 220}};
    double at = 4 * x;
    int i = at >= 4 ? 3 : (int)at;
    for (int k = 0; k < 3; k++)
        rgb[k] = (unsigned char)(stops[i][k] + (at - i) * (stops[i + 1][k] - stops[i][k]) + 0.5);
}

static int write_palette(const char *path, int width, int height, const uint8_t *pixels, const uint8_t (*palette)[3],
                         int entries, pcv_error *err) {
    png_image image = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB_COLORMAP,
                       .colormap_entries = (png_uint_32)entries, .width = (png_uint_32)width,
                       .height = (png_uint_32)height};
    png_alloc_size_t bytes = 0;
    void *file = NULL;
    int status = 0;
    if (png_image_write_to_memory(&image, NULL, &bytes, 0, pixels, 0, palette)) {
        TRY(mem_get(&file, bytes, "a picture", err));
        if (png_image_write_to_memory(&image, file, &bytes, 0, pixels, 0, palette)) {
            TRY(file_write(path, file, bytes, err));
            goto out;
        }
    }
    status = fail(err, PCV_IO, "%s: cannot encode the picture: %s", path, image.message);
out:
    mem_free(file);
    return status;
}

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
    for (int i = 0; i < COLOURS; i++) colour((double)i / (COLOURS - 1), palette[i]);
    TRY(write_palette(path, (int)columns, SPECTRUM_BINS, pixels, palette, COLOURS, err));
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
