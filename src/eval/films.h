/* How films are told again: how far pixels and samples are off, and what is said of the class. */
#ifndef EVAL_FILMS_H
#define EVAL_FILMS_H

#include "eval/outputs.h"

/* Sums over the numbers of all films, by kind. */
typedef struct film_sums {
    double squares[MODALITIES], from_mean[MODALITIES], from_zero[MODALITIES], numbers[MODALITIES];
} film_sums;

/* One film: *loss becomes its weighted loss; logits [classes] what is said of the class, where there are any. */
int film_measure(model *m, tape *t, const sequence *row, int64_t latents, film_sums *sums, double *loss, float *logits,
                 pcv_error *err);

/* Peak signal-to-noise ratio in dB of numbers whose largest is 1. */
double film_psnr(double squares, double numbers);

#endif
