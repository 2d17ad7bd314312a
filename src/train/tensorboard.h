/* TensorBoard event files: scalars and samples in length-prefixed protocol buffers with CRC-32C. What has one name
 * in several folders is drawn into one chart. */
#ifndef TRAIN_TENSORBOARD_H
#define TRAIN_TENSORBOARD_H

#include "base/error.h"

#include <stdio.h>

typedef struct tensorboard {
    FILE *file; /* NULL: closed, or writing failed before */
} tensorboard;

/* Creates a new event file in `folder`, which is made where it is missing; what former ones say behind `step` is cut
 * off. Failing is not an error: metrics.jsonl is the record. */
void tensorboard_open(tensorboard *t, const char *folder, int64_t step);
void tensorboard_close(tensorboard *t);
void tensorboard_scalar(tensorboard *t, const char *tag, int64_t step, double value);

/* Samples: "sample/text", and of files "sample/picture" (PNG) or "sample/sound" (WAV); others are left out. */
void tensorboard_text(tensorboard *t, int64_t step, const char *bytes, size_t size);
void tensorboard_file(tensorboard *t, int64_t step, const char *path);

#endif
