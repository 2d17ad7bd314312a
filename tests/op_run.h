/* One op case on one backend, for the tests of all backends. */
#ifndef TESTS_OP_RUN_H
#define TESTS_OP_RUN_H

#include "op_cases.h"
#include "tensor/parameters.h"

/* Inputs are parameters; the output and all gradients arrive as floats. */
typedef struct run {
    backend *be;
    parameters p;
    tape t;
    tensor *in[CASE_INPUTS];
    int64_t outputs;
    float *output;
    float *grad[CASE_INPUTS];
} run;

/* Inputs take the cases' values; `narrow`: such as bf16 can hold. */
void run_open(run *r, const op_case *c, backend *be, bool narrow);
void run_free(run *r);
void run_close(run *r); /* and the backend */

/* Every op runs twice on the same inputs, so that a second contribution to a gradient is added to the
 * first. (Losses stand alone, and the input of an activation has one reader by contract.) */
tensor *run_case(run *r, const op_case *c);

/* The output, and where the case has gradients those of the inputs; cleared: which were made zero before. */
void run_cleared(run *r, const op_case *c);
void run_both_ways(run *r, const op_case *c);

/* Coefficients of the scalar that is differentiated: random, or a loss's own weights. */
float run_coefficient(const op_case *c, int64_t cols, int64_t i);

/* Fails where a value is further off than tolerance (1 + the largest). */
void run_compare(const char *what, const op_case *c, const char *level, const float *found, const float *expected,
                 int64_t n, double tolerance);

float nearest_bf16(float x);

#endif
