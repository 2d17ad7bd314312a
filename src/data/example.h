/* Examples: what a model that answers reads of a document, and what it is to say.
 *
 *     numbers   a picture's or a sound's values, `patch` pixels of a side or samples as one vector, or the Fourier
 *               features of points; the answer is the document's label
 *     pairs     two frames: around each pixel its neighbours in both; the answers are how far each pixel moves
 *     films     pixels, samples and a class, each told again
 *     ids       a text of which some words are hidden (Devlin et al. 2019, by whole words as in Jaegle et al. 2022,
 *               appendix F.3); the answers are the hidden tokens
 *
 * A window says which tokens of a document: all of a picture, as much of a sound or a text as the model reads. Its
 * variant is the key of all that is random in an example. */
#ifndef DATA_EXAMPLE_H
#define DATA_EXAMPLE_H

#include "config/run_config.h"
#include "data/film_rows.h"
#include "data/window.h"

/* Fills in what a model that answers takes from its data: what an input is, how many there are, and where they lie; how
 * many answers. PCV_CONFIG where something else was asked for, or the data has nothing to answer. */
int example_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err);

/* PCV_DATA where the owner's tokenizer and model are not made for each other: rows would have no room for documents. */
int example_check(const tokenizer *t, const model_config *m, const char *owner, pcv_error *err);

/* Windows for training: labelled documents in a new order each time round, pieces of texts at random. */
typedef struct example_plan {
    const dataset *d;
    const model_config *m;
    split_name split;
    uint64_t seed;
    int64_t documents;
    crop_plan crops; /* of texts */
} example_plan;

int example_plan_open(example_plan *p, const dataset *d, split_name split, const model_config *m, uint64_t seed,
                      pcv_error *err);
void example_plan_close(example_plan *p);
window example_draw(const example_plan *p, int64_t number); /* of the run's windows */

/* Answers of a window, about. */
double example_answers(const dataset *d, const model_config *m, double mask_rate);

/* Windows that together hold every example of a split once. */
int64_t example_windows(const dataset *d, split_name split, const model_config *m);
window example_at(const dataset *d, split_name split, const model_config *m, int64_t number);

/* Rows of a pass. */
typedef struct example_rows {
    const model *m;
    int64_t count, capacity;
    int64_t inputs, outputs; /* room of a row */
    sequence *row;
    float *features; /* [capacity inputs features], or NULL */
    int32_t *ids;    /* [capacity inputs], or NULL */
    int32_t *wanted; /* [capacity outputs] */
    float *numbers;  /* [capacity outputs, model_outputs], where outputs are numbers; or NULL */
    film_rows films; /* of a model that reads these, in place of the four above */
    int32_t *tokens; /* of the document that is read: [room], */
    float *values;   /* and what they stand for */
    float *permuted; /* a picture whose pixels changed places */
    size_t room;
} example_rows;

/* context: inputs of a row at most. training: of films some outputs are asked for, and not all. */
int example_rows_open(example_rows *r, const model *m, int64_t capacity, int64_t context, bool training,
                      pcv_error *err);

/* A pass over the rows. */
pass example_rows_pass(const example_rows *r, int64_t latents);
void example_rows_close(example_rows *r);

/* Reads one more example. train: with its changes to pictures; NULL: as they are. */
int example_rows_read(example_rows *r, const dataset *d, split_name split, const window *w, const train_config *train,
                      pcv_error *err);

/* One more of numbers that the caller has: `values` of a whole document, as token_type.values gives them; they may be
 * changed. */
int example_rows_add(example_rows *r, const tokenizer *t, float *values, int64_t count, pcv_error *err);

/* One more of ids, which are cut to what the model reads. */
void example_rows_add_ids(example_rows *r, const int32_t *ids, int64_t count);

/* The largest batch: full rows of zeros, or of random numbers and ids. */
void example_rows_fill(example_rows *r, int64_t rows, uint64_t seed);

/* Answers that a window wants. */
int example_targets(example_rows *r, const dataset *d, split_name split, const window *w, const train_config *train,
                    int64_t *targets, pcv_error *err);

#endif
