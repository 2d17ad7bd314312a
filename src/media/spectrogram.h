/* What a sound looks like, and how far two sounds are apart. Spectra are those of Hann windows of SPECTRUM samples; a
 * sine that fills the range has the power 1 in its bin. */
#ifndef MEDIA_SPECTROGRAM_H
#define MEDIA_SPECTROGRAM_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { SPECTRUM = 512, SPECTRUM_BINS = SPECTRUM / 2 };

/* A PNG: time to the right, frequency upward to half the rate, the power in a bin as a colour from the loudest (white)
 * to 80 dB below it (black). Long sounds are shown by windows that leave gaps. */
int spectrogram_draw(const char *path, const float *samples, size_t count, pcv_error *err);

/* 10 log10 of the sum of x^2 over that of (x - y)^2, in dB. */
double sound_signal_to_noise(const float *x, const float *y, size_t count);

/* The log-spectral distance in dB: the root of the mean over the bins of a window of the squared difference of
 * 10 log10(power + 10^-9), averaged over windows at every SPECTRUM / 4 samples (Gray and Markel 1976). Less than one
 * window gives 0. */
int sound_spectral_distance(const float *x, const float *y, size_t count, double *distance, pcv_error *err);

#endif
