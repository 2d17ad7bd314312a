/* One batch of training: rows of tokens in, gradients and losses out. The trainer, the memory plan and
 * the benchmark all run this. */
#ifndef TRAIN_STEP_H
#define TRAIN_STEP_H

#include "config/run_config.h"
#include "data/example.h"
#include "model/model.h"

/* The device that a training configuration asks for. */
int step_backend(backend **be, const train_config *c, pcv_error *err);

/* Room for `rows` rows of the largest shape, or for more and shorter ones that have as many tokens and targets in
 * all. */
typedef struct step_rows {
    const model *m;
    window_rows rows;
    example_rows examples; /* in their place, for a model that answers */
    model_memory *memory; /* of the rows' earlier segments, or NULL */
} step_rows;

int step_open(step_rows *b, const model *m, int64_t rows, pcv_error *err);
void step_close(step_rows *b);

/* Reads what the windows say; a memory is empty where a document begins. */
int step_read(step_rows *b, const dataset *d, split_name split, const window *w, int64_t rows, const train_config *c,
              pcv_error *err);

/* Windows whose tokens stand in b->rows.ids already, one window behind the other; and full ones, the largest batch. */
void step_take(step_rows *b, const window *w, int64_t rows);
void step_take_full(step_rows *b, int64_t rows);
void step_take_random(step_rows *b, int64_t rows, uint64_t seed); /* full ones, of random tokens, to be timed */

/* Targets of a window that count and that the latents reach. What was read before is forgotten. */
int step_targets(step_rows *b, const dataset *d, split_name split, const window *w, const train_config *c,
                 int64_t *targets, pcv_error *err);

/* Forward and backward for the rows that were read: gradients of scale times the summed loss are added to the model's,
 * and what the loss was to *sum. draw tells the batches of one update apart. */
int step_run(step_rows *b, tape *t, model *m, const train_config *c, uint32_t draw, double scale, loss_sum *sum,
             pcv_error *err);

#endif
