/* A sound as log spectra, one behind the other. */
#ifndef MEDIA_SPECTRA_H
#define MEDIA_SPECTRA_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* For every `step` samples the spectrum of a Hann window of `window` samples around them, silence beyond both ends:
 * out [(count + step - 1) / step, window / 2] = log10(power + 10^-4) + 1, where a sine with a mean square of 1 has the
 * power 1 in its bin; without the mean of the window. window: even, at most 4,096. */
int sound_spectra(const float *x, int64_t count, int64_t window, int64_t step, float *out, pcv_error *err);

#endif
