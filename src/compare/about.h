/* What a comparison is about: its data set, and the model that its entries vary. Kept beside the record, so that cells
 * of other data or other models never come into one table. */
#ifndef COMPARE_ABOUT_H
#define COMPARE_ABOUT_H

#include "compare/comparison.h"

/* What a comparison is about goes into its folder; and one that goes on must be about the same. */
int about_write(const comparison *c, pcv_error *err);
int about_check(const comparison *c, pcv_error *err);

#endif
