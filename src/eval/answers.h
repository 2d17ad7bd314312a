/* How well a model answers: over all examples of a split the loss, and where the answers are classes, which was taken
 * for which, and how sure the model was. */
#ifndef EVAL_ANSWERS_H
#define EVAL_ANSWERS_H

#include "eval/evaluate.h"

int answers_defaults(eval_config *c, const model_config *m, pcv_error *err);

/* As evaluate. With job->confusion, [classes classes], every example counts there: row its class, column the answer. */
int answers_evaluate(const evaluation_job *job, pcv_evaluation *result, pcv_error *err);

#endif
