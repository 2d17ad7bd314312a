/* The list of op cases: each drives correctness of every kernel level, gradients against finite
 * differences in double, and `perceiver bench ops`-style timing. A case builds one op from inputs that
 * the harness fills with random numbers, or runs a kernel that belongs to no op. Sizes are odd on purpose: tails
 * must work. Together the cases run every slot of the kernel table. */
#ifndef TESTS_OP_CASES_H
#define TESTS_OP_CASES_H

#include "ops/ops.h"

enum { CASE_INPUTS = 6, CASE_PARAMETERS = 10 };

typedef struct op_case {
    const char *name;
    tensor *(*run)(tape *t, tensor *const in[], const struct op_case *c);
    int inputs;
    struct {
        int rows, cols;
    } in[CASE_INPUTS];
    int p[CASE_PARAMETERS]; /* meaning depends on run */
    enum {
        CASE_OP,
        CASE_LOSS,   /* the output is a loss with weights of its own */
        CASE_FORWARD /* what has no gradient: runs once, one way */
    } kind;
} op_case;

extern const op_case op_cases[];
extern const int op_case_count;

/* The weights that losses give their rows. */
float case_weight(int row);

/* Deterministic number in [-1, 1] for element i of stream s. */
float case_value(int s, int i);

#endif
