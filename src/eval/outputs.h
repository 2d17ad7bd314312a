/* All outputs of one example, in pieces: the inputs are encoded once, and each piece asks the latents, so that memory
 * does not grow with the number of outputs. */
#ifndef EVAL_OUTPUTS_H
#define EVAL_OUTPUTS_H

#include "model/model.h"

enum { OUTPUTS_AT_ONCE = 1 << 13, NUMBERS_AT_ONCE = 1 << 21 };

/* Outputs [first, first + count) of one kind, or of a model with one kind alone (kind 0): values [count, numbers]. */
typedef void outputs_fn(void *context, int kind, int64_t first, int64_t count, const float *values);

/* An outputs_fn that keeps them: context is a told_outputs. */
typedef struct told_outputs {
    float *values[MODALITIES];   /* [outputs, numbers]; NULL: these are not wanted */
    int64_t numbers[MODALITIES]; /* of an output */
} told_outputs;
void outputs_keep(void *context, int kind, int64_t first, int64_t count, const float *values);

/* outputs: of the row, of a model with one kind. The outputs of several kinds come in their order. */
int outputs_tell(model *m, tape *t, const sequence *row, int64_t latents, int64_t outputs, outputs_fn *take,
                 void *context, pcv_error *err);

#endif
