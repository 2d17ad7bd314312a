/* The record of a run: metrics.jsonl, one JSON object a line, and the same scalars for TensorBoard.
 *
 * A line holds "step" and what was measured then: training lines have "loss" (nats per token), "lr",
 * "grad_norm", "tokens_per_second", ...; validation lines "validation_loss"; sample lines "sample" or "sample_file".
 * When writing fails it is said once and training goes on. */
#ifndef TRAIN_METRICS_H
#define TRAIN_METRICS_H

#include "base/file.h"
#include "train/tensorboard.h"

typedef struct metrics {
    FILE *file;
    tensorboard board, validations; /* two, so that TensorBoard draws what has one name into one chart */
    char run[PATH_SIZE];
    const pcv_watch *watch;
    bool complained;
} metrics;

/* Opens the record of a run for appending. Training lines behind `step` and others behind `looks` are dropped: a
 * resumed run writes them again. */
int metrics_open(metrics *m, const char *run, int64_t step, int64_t looks, const pcv_watch *watch, pcv_error *err);
void metrics_close(metrics *m);

typedef struct metric {
    const char *name;
    double value;
} metric;

/* One line. What validations measured has "validation_" in front of its name, but not in TensorBoard. */
void metrics_write(metrics *m, int64_t step, const metric *list, int count);
void metrics_sample(metrics *m, int64_t step, const char *text, size_t size);
void metrics_sample_file(metrics *m, int64_t step, const char *name); /* relative to the run */

#endif
