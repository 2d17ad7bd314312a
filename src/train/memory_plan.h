/* What a training step needs, found by running it over the null backend. */
#ifndef TRAIN_MEMORY_PLAN_H
#define TRAIN_MEMORY_PLAN_H

#include "config/model_config.h"
#include "config/run_config.h"

typedef struct memory_plan {
    int64_t parameters;  /* count */
    size_t weights;      /* bytes, rounded ones included */
    size_t gradients;
    size_t optimizer;    /* moments, averages */
    size_t constants;    /* position tables, memories */
    size_t tensors;      /* the tape's pool, exactly */
    size_t total;        /* of the above */
    size_t host;         /* beside it, where it takes of the same memory: what describes a batch, rows and nodes */
    size_t available;    /* what the backend has */
} memory_plan;

/* The model must be complete (model_config_check). */
int plan_memory(const model_config *m, const train_config *c, memory_plan *plan, pcv_error *err);

/* PCV_MEMORY, with what to lower, when a plan does not fit. */
int plan_check(const memory_plan *plan, const model_config *m, const train_config *c, pcv_error *err);

/* What the backend of a configuration has. */
int plan_available(const train_config *c, size_t *bytes, pcv_error *err);

#endif
