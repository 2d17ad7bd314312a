/* What the first cross-attention of a trained model looks at. */
#ifndef EVAL_ATTENTION_H
#define EVAL_ATTENTION_H

#include "eval/evaluate.h"

/* As pcv_attend, and the calls of perceiver.h that begin with pcv_attention_. */
int attention_look(pcv_engine *e, const char *path, bool are_ids, int64_t size, const pcv_settings *settings,
                   const pcv_watch *watch, pcv_attention *map, pcv_error *err);
int attention_check(const char *path, pcv_error *err);
int attention_draw(const char *path, const pcv_attention *map, pcv_error *err);
void attention_free(pcv_attention *map);

#endif
