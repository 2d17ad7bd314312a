/* One batch of training: rows of tokens in, gradients and losses out. The trainer, the memory plan and
 * the benchmark all run this. */
#ifndef TRAIN_STEP_H
#define TRAIN_STEP_H

#include "config/run_config.h"
#include "data/window.h"
#include "model/model.h"

/* The device that a training configuration asks for. */
int step_backend(backend **be, const train_config *c, pcv_error *err);

/* Host buffers of one batch, with room for `rows` rows of the largest shape, or for more and shorter ones
 * that have as many tokens and targets in all. */
typedef struct step_buffer {
    const model *m;
    model_memory *memory; /* of the rows' earlier segments, or NULL */
    int64_t context, positions; /* largest; positions: latents / latents_per_position */
    int64_t stride;             /* tokens between rows of ids, context + 1 until step_read sets it */
    int32_t *ids;               /* [rows, stride] */
    sequence *row;              /* [rows] */
    int32_t *targets;                 /* [rows positions] */
    float *weight, *loss;             /* [rows positions], [rows positions, LOSS_COLUMNS] */
} step_buffer;

int step_open(step_buffer *b, const model *m, int64_t rows, pcv_error *err);
void step_close(step_buffer *b);

/* Reads the windows' tokens; a memory is empty where a document begins. */
int step_read(step_buffer *b, const dataset *d, split_name split, const window *w, int64_t rows,
              pcv_error *err);

/* Targets of a window that the latents reach. */
int64_t step_targets(const model_config *m, const window *w);

typedef struct step_result {
    double value; /* sum over targets of what is minimized, regularizers included */
    double loss;  /* sum of the plain cross-entropies, nats */
    int64_t hits; /* targets that came first */
} step_result;

/* Forward and backward for the rows that were read: gradients of scale times the summed loss are added
 * to the model's. draw tells the batches of one update apart. */
int step_run(step_buffer *b, tape *t, model *m, const train_config *c, const window *w, int64_t rows,
             uint32_t draw, double scale, step_result *result, pcv_error *err);

#endif
