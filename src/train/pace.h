/* How far a run is. By updates that is a division. By the clock it would be another number every time, and with it the
 * learning rates: so the clock is asked for one thing only, when each 64th part of the run is over, and these marks are
 * kept. In between the run is taken to be as fast as in the part before. A run's marks and its last update are written
 * into its config.json when it ends; who trains with that file and so many --steps follows the marks in place of the
 * clock, and gets the same weights. */
#ifndef TRAIN_PACE_H
#define TRAIN_PACE_H

#include "config/run_config.h"

enum { PACE_PARTS = FIELD_LIST };

/* Part of the run that is over at `step`, from the steps at which its 64ths were over so far. */
double pace_at(const int64_t *marks, int64_t count, int64_t step);

/* Notes that `done`, 0 to 1, of the run is over at `step`; marks of a time that a longer limit has taken back go. */
void pace_mark(field_ints *marks, double done, int64_t step);

/* The marks of a run that ended at `step`, for config.json; and whether a configuration has them and ends there. */
void pace_keep(train_config *c, const field_ints *marks, int64_t step);
bool pace_is_kept(const train_config *c);

#endif
