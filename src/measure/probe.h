/* Training steps to be timed: a fresh model on full rows of token 0, the trainer's batch at its largest. */
#ifndef MEASURE_PROBE_H
#define MEASURE_PROBE_H

#include "train/memory_plan.h"
#include "train/optimizer.h"
#include "train/step.h"

typedef struct probe {
    const train_config *c;
    backend *be;
    model *m;
    optimizer o;
    tape t;
    step_rows b;
    int64_t steps; /* done */
} probe;

/* tensors: device memory to reserve for the tape, 0: take it as needed. The configurations must outlive the probe. */
int probe_open(probe *p, const model_config *m, const train_config *c, size_t tensors, pcv_error *err);
void probe_close(probe *p);

/* Forward, backward and update; the seconds that they took. */
int probe_step(probe *p, double *seconds, pcv_error *err);

/* Can the configuration's device compute in this precision? */
bool probe_has_precision(const train_config *c, int precision);

#endif
