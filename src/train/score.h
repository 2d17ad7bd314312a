/* Files as token ids, for what looks at single sequences. */
#ifndef TRAIN_SCORE_H
#define TRAIN_SCORE_H

#include "gen/engine.h"

/* The ids of a file, text or whitespace-separated numbers, with the start token in front; the caller frees *ids. */
int score_read_ids(const pcv_engine *e, const char *path, bool are_ids, int32_t **ids, size_t *count, pcv_error *err);

#endif
