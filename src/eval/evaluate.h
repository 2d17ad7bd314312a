/* Evaluation: every target of a split scored exactly once, by windows that end where their targets do. */
#ifndef EVAL_EVALUATE_H
#define EVAL_EVALUATE_H

#include "data/window.h"
#include "gen/engine.h"
#include "model/model.h"

typedef struct evaluation_job {
    tape *t; /* not recording; is reset */
    model *m;
    dataset *d;
    const pcv_engine *engine; /* whose file an error names; or NULL */
    const eval_config *config; /* resolved by evaluate_defaults */
    const pcv_watch *watch;
    int64_t *confusion; /* of a model that answers with classes, or NULL (answers.h) */
    bool contexts; /* also score some targets behind growing prefixes */
} evaluation_job;

/* Fills latents, context and stride where they are 0, and refuses what cannot be. */
int evaluate_defaults(eval_config *c, const model_config *m, pcv_error *err);

int evaluate(const evaluation_job *job, pcv_evaluation *result, pcv_error *err);

/* The same targets with the latents, context and stride of each point, whose results are filled in:
 * config->tokens of them at most (0: a default), in pieces of `span` targets spread evenly over the split, behind
 * `need` tokens or more where documents are that long. tokens 0: no document is long enough. */
int evaluate_points(const evaluation_job *job, pcv_sweep_point *point, int count, int64_t span, int64_t need,
                    pcv_error *err);

/* Resolves c, opens the data set (name NULL: the run's own) and the tape. */
int evaluation_open(evaluation_job *job, eval_config *c, tape *t, pcv_engine *engine, const char *name,
                    const pcv_watch *watch, pcv_error *err);
/* PCV_USAGE when a setting was given that says which documents to generate, but they were prepared: all are there. */
int evaluation_fits(const evaluation_job *job, const pcv_settings *settings, pcv_error *err);
void evaluation_close(evaluation_job *job);

/* As pcv_evaluate. */
int evaluate_confusion(pcv_engine *engine, const char *dataset, const pcv_settings *settings, const pcv_watch *watch,
                       pcv_evaluation *result, int64_t **counts, const char *const **names, pcv_error *err);
int evaluate_split(pcv_engine *engine, const char *dataset, const pcv_settings *settings, const pcv_watch *watch,
                   pcv_evaluation *result, pcv_error *err);

#endif
