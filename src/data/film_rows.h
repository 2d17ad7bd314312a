/* Rows of films: pixels in blocks, samples in pieces, and a class, each kind for itself (modality_config); and what of
 * them is to be told again. Room for all of it is taken once. */
#ifndef DATA_FILM_ROWS_H
#define DATA_FILM_ROWS_H

#include "base/rng.h"
#include "data/dataset.h"
#include "model/pass.h"

/* Fills in the kinds of inputs that films have, where config.json or flags do not say otherwise. */
int film_rows_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err);

/* Are these kinds what a model reads? */
bool film_rows_fit(const tokenizer *t, const model_config *m);

typedef struct film_rows {
    int64_t asked[MODALITIES]; /* outputs of a row: all, or as many as a training step asks for */
    int64_t outputs;           /* of all kinds together */
    bool some;                 /* they are drawn */
    modality_row *part;        /* [capacity MODALITIES]; NULL: the model reads no films */
    float *features[MODALITIES], *numbers[MODALITIES];
    int32_t *places[MODALITIES], *wanted[MODALITIES];
    uint8_t *hidden[MODALITIES];
} film_rows;

/* training: rows ask for some of the outputs. Nothing is opened for models of other inputs. */
int film_rows_open(film_rows *r, const model_config *c, int64_t capacity, bool training, pcv_error *err);
void film_rows_close(film_rows *r);

/* Row i: `values` of a film as its tokenizer gives them, and its class, negative: nobody knows. What training hides at
 * times is hidden here always unless some are asked for. */
const modality_row *film_rows_put(film_rows *r, int64_t i, const model_config *c, const tokenizer *t,
                                  const float *values, int32_t label, rng *random);

/* The same of numbers that mean nothing, for plans and timings. */
const modality_row *film_rows_fill(film_rows *r, int64_t i, const model_config *c, rng *random);

#endif
