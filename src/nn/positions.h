/* Position schemes: constants on the device that ops read. */
#ifndef NN_POSITIONS_H
#define NN_POSITIONS_H

#include "config/model_config.h"
#include "tensor/tape.h"

/* A tensor that lives outside any tape. */
int constant_make(tensor *out, backend *be, const float *values, int64_t rows, int64_t cols,
                  pcv_error *err);
void constant_free(tensor *x, backend *be);

/* [1, bands] angular frequencies of rotary positions for heads of `width` channels:
 * base^(-j / bands), or with endpoint base^(-j / (bands - 1)), j = 0 .. bands - 1. */
int rotary_frequencies(tensor *out, backend *be, const model_config *c, int64_t width,
                       pcv_error *err);

/* The two factors of a fixed position code over `rows` positions and C channels (embed_args):
 * sinusoidal: frequency 10000^(-j / (h - 1)), h = C / 2 (Vaswani et al. 2017, as in the official
 * code); fourier: angle pi x f_j with x = -1 + 2 p / (rows - 1) and f from 1 to rows / 2. `scale` is the
 * amplitude of the sines. */
int harmonic_factors(tensor *low, tensor *high, backend *be, position_kind kind, double scale, int64_t rows,
                     int64_t channels, pcv_error *err);

/* The same code as one table [rows, C], for axes of few positions. */
int harmonic_table(tensor *out, backend *be, position_kind kind, double scale, int64_t rows, int64_t channels,
                   pcv_error *err);

/* Fourier features of a place p in [-1, 1]^d (Jaegle et al. 2021, appendix D): p itself, then sin(pi f_k p_a), axis by
 * axis, then all cosines; f from 1 to resolution[a] / 2 in equal steps. out [d (2 bands + 1)] */
void fourier_features(const double *p, int64_t axes, const int64_t *resolution, int64_t bands, float *out);

/* Those of one place of a grid, which are asked for by their numbers, row by row. As published such places lie at
 * -1 + 2 i / size of each axis, and not, as those of a whole grid do, at -1 + 2 i / (size - 1). */
void fourier_place(int64_t number, const field_ints *axes, const field_ints *resolution, int64_t bands, float *out);

/* Those of a grid, reals [product of axes, features], row by row; each axis from -1 to 1. resolution empty: the
 * axes. */
int fourier_grid(tensor *out, backend *be, const field_ints *axes, const field_ints *resolution, int64_t bands,
                 pcv_error *err);

#endif
