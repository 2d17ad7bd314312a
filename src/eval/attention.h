/* What the first cross-attention and the index heads of a trained model look at. */
#ifndef EVAL_ATTENTION_H
#define EVAL_ATTENTION_H

#include "eval/evaluate.h"

/* As pcv_attend, and the calls of perceiver.h that begin with pcv_attention_. */
int attention_look(pcv_engine *e, const char *path, bool are_ids, int64_t size, const pcv_settings *settings,
                   const pcv_watch *watch, pcv_attention *map, pcv_error *err);
int attention_check(const char *path, pcv_error *err);
int attention_draw(const char *path, const pcv_attention *map, pcv_error *err);
void attention_free(pcv_attention *map);

/* A fresh document of the generator that the run was trained on: *ids [*document], all but the last one inputs. The
 * first target that counts stands behind token *first. The caller frees *ids. */
int attention_generate(pcv_engine *e, int64_t seed, int32_t **ids, int64_t *document, int64_t *first, pcv_error *err);

#endif
