/* Evaluation: every target of a split scored exactly once, by windows that end where their targets do. */
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H

#include "data/window.h"
#include "model/model.h"

typedef struct evaluation_job {
    tape *t; /* not recording; is reset */
    model *m;
    const dataset *d;
    const eval_config *config; /* resolved by evaluate_defaults */
    const pcv_watch *watch;
    bool contexts; /* also score some targets behind growing prefixes */
} evaluation_job;

/* Fills latents, context and stride where they are 0, and refuses what cannot be. */
int evaluate_defaults(eval_config *c, const model_config *m, pcv_error *err);

int evaluate(const evaluation_job *job, pcv_evaluation *result, pcv_error *err);

#endif
