/* Time and memory of training steps. */
#ifndef COMPARE_COST_H
#define COMPARE_COST_H

#include "compare/comparison.h"

cost_cell *cost_at(const comparison *c, int arch, int depth, int context);

/* Fills in the memory and FLOPs of every cell, so that the rest can be predicted. */
int cost_plan(comparison *c, pcv_error *err);
double cost_predict(const comparison *c, const cost_cell *cell); /* seconds of a step */
int cost_measure(comparison *c, cost_cell *cell, pcv_error *err);

#endif
