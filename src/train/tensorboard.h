/* TensorBoard event files: scalars in length-prefixed protocol buffers with CRC-32C. */
#ifndef TRAIN_TENSORBOARD_H
#define TRAIN_TENSORBOARD_H

#include "base/error.h"

#include <stdio.h>

typedef struct tensorboard {
    FILE *file; /* NULL: closed, or writing failed before */
} tensorboard;

/* Creates a new event file in `folder`. Failing is not an error: metrics.jsonl is the record. */
void tensorboard_open(tensorboard *t, const char *folder);
void tensorboard_close(tensorboard *t);
void tensorboard_scalar(tensorboard *t, const char *tag, int64_t step, double value);
void tensorboard_flush(tensorboard *t);

#endif
