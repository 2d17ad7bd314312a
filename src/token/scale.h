/* Vectors of values on a scale, for token_type.vector: values that lie near each other have vectors alike. */
#ifndef TOKEN_SCALE_H
#define TOKEN_SCALE_H

#include <stdint.h>

enum { SCALE_SIZE = 32 };

/* v [SCALE_SIZE] of value `step`, 0 to steps - 1: v_k = a_k cos(pi k (step + 1/2) / steps) for k = 1 to SCALE_SIZE,
 * where a_k falls as 1 / (k + 3) and makes the mean squared length of all steps' vectors 1. */
void scale_vector(int32_t step, int32_t steps, float *v);

#endif
