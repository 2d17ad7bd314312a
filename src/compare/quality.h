/* What the entries of a comparison learn in equal time. */
#ifndef COMPARE_QUALITY_H
#define COMPARE_QUALITY_H

#include "compare/comparison.h"

/* Gives every entry a depth, for equal parameters; and, measuring, those that the record does not know yet a context,
 * for equal time of a step. */
int quality_plan(comparison *c, pcv_error *err);
int quality_equal_step(comparison *c, pcv_error *err);

/* PCV_CONFIG when no document is long enough for all to be scored on the same targets. */
int quality_check(const comparison *c, pcv_error *err);
int quality_run_all(comparison *c, pcv_error *err);

#endif
