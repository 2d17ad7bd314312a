/* What was found, for people and for other programs: cost.csv, quality.csv, SVG charts, and index.html, which says
 * it in words. */
#ifndef COMPARE_PAGE_H
#define COMPARE_PAGE_H

#include "compare/comparison.h"

int page_write(const comparison *c, pcv_error *err);

#endif
