#ifndef TOKEN_POINTS_H
#define TOKEN_POINTS_H

#include <stdint.h>

/* The id of a coordinate, cut off at -1 and 1. */
int32_t points_id(double x);

#endif
