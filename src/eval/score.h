/* Log-probabilities of the tokens of one sequence. */
#ifndef EVAL_SCORE_H
#define EVAL_SCORE_H

#include "eval/evaluate.h"

/* As pcv_score, and the calls of perceiver.h that begin with pcv_score_ and pcv_scores_. */
int score_ids(pcv_engine *e, const int32_t *ids, size_t count, bool logits, const pcv_settings *settings,
              pcv_scores *scores, pcv_error *err);
int score_file(pcv_engine *e, const char *path, bool are_ids, bool logits, const pcv_settings *settings,
               pcv_scores *scores, pcv_error *err);
int score_stream(pcv_engine *e, const pcv_score_options *options, const pcv_settings *settings, const pcv_watch *watch,
                 pcv_error *err);
int scores_save(const pcv_scores *scores, const char *path, pcv_error *err);
void scores_free(pcv_scores *scores);

#endif
