/* Weights that a hash of their published names defines, and the numbers that published code gives for them: what the
 * tests of the official models share. */
#ifndef TESTS_PUBLISHED_H
#define TESTS_PUBLISHED_H

#include "check.h"
#include "model/model.h"

/* The published name of a tensor of ours, . */
typedef struct renaming {
    const char *ours, *published;
    bool transposed;
} renaming;

typedef const renaming *published_name_fn(const model *m, const char *ours);

/* Value i of what has this name: an input, or a tensor, whose kind stands behind the colon. `inputs`: of a linear map. */
float published_value(const char *name, int64_t inputs, uint32_t i);

/* And of the direction that a derivative is taken along. */
double published_direction(const char *name, uint32_t i);

/* Element (r, c) of a tensor of ours, as index into the published one. */
uint32_t published_index(const renaming *n, const parameter_slice *s, int64_t r, int64_t c);

/* Gives every parameter its published value. */
void published_fill(model *m, published_name_fn *name_of);

#endif
