/* Residual vector quantization (Juang and Gray 1982): a vector as a sum of entries, one from each of several codebooks.
 * Each codebook is learned from what those before it leave, so the first ones of many are those of a shorter chain.
 *
 *     quantizer q = {0};
 *     TRY(quantizer_open(&q, dims, stages, codes, true, err));
 *     TRY(quantizer_train(&q, x, rows, &random, NULL, err));
 *     TRY(quantizer_encode(&q, x, rows, code, err));
 *     quantizer_decode(&q, code, y);
 * out:
 *     quantizer_close(&q); */
#ifndef TOKEN_QUANTIZER_H
#define TOKEN_QUANTIZER_H

#include "base/rng.h"
#include "perceiver.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct quantizer {
    int64_t dims, stages, codes;
    int64_t entries; /* kept of a codebook: codes, or half of them when they come in pairs of opposite sign */
    bool paired;
    float *entry; /* [stages, entries, dims]; code 2 i + 1 of a pair is -entry i */
} quantizer;

/* Whom long work tells how far it is, and who may stop it. */
typedef struct quantizer_work {
    const pcv_watch *watch; /* or NULL */
    const char *stage;
    double start, done, total; /* start: of the clock */
} quantizer_work;
int quantizer_step(quantizer_work *work, pcv_error *err); /* one more is done; PCV_INTERRUPTED */

/* All entries 0. codes is even when paired: for vectors whose signs mean nothing. */
int quantizer_open(quantizer *q, int64_t dims, int64_t stages, int64_t codes, bool paired, pcv_error *err);
void quantizer_close(quantizer *q);

/* Learns from x [rows, dims], rows in random order, which becomes what is left of it. work (or NULL) gets
 * quantizer_steps steps. */
int quantizer_train(quantizer *q, float *x, int64_t rows, rng *random, quantizer_work *work, pcv_error *err);
double quantizer_steps(const quantizer *q);

/* code [rows, stages]: of the sums that a search over the best few beginnings finds, those nearest to x [rows, dims].
 * The result does not depend on the number of threads; several threads may encode at once. */
int quantizer_encode(const quantizer *q, const float *x, int64_t rows, int32_t *code, pcv_error *err);

/* y [dims] = what a code of one stage stands for. */
void quantizer_vector(const quantizer *q, int64_t stage, int32_t code, float *y);

/* y [dims] = the sum of the entries; a negative code stands for none. */
void quantizer_decode(const quantizer *q, const int32_t *code, float *y);

#endif
