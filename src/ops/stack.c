/* Rows of several tensors below each other, sequence by sequence: y_s = [a_s; b_s; ...]. dL/dx is x's part of each. */
#include "ops/ops.h"

#include <string.h>

typedef struct stack_saved {
    int64_t batch;
} stack_saved;

/* Copies between the whole and the rows of its part x, which begin at row `at` of each sequence. */
static void copy_part(tape *t, matrix whole, matrix x, int64_t at, int64_t batch, bool back, float beta) {
    int64_t all = whole.rows / batch, rows = x.rows / batch;
    for (int64_t s = 0; s < batch; s++) {
        matrix part = matrix_rows(whole, s * all + at, rows), own = matrix_rows(x, s * rows, rows);
        tape_kernel(t, copy, .y = back ? own : part, .x = back ? part : own, .beta = beta);
    }
}

static void stack_backward(tape *t, const node *n) {
    int64_t batch = ((const stack_saved *)n->saved)->batch, at = 0;
    for (int i = 0; i < n->inputs; at += n->in[i++]->m.rows / batch) {
        float beta = 0;
        matrix dx = tape_grad(t, n->in[i], &beta);
        if (dx.data) copy_part(t, n->out->grad, dx, at, batch, true, beta);
    }
}

tensor *stack_rows(tape *t, tensor *const in[], int inputs, int64_t batch) {
    int64_t rows = 0, at = 0;
    if (t->status) return &t->nothing;
    for (int i = 0; i < inputs; rows += in[i++]->m.rows)
        CHECK(in[i]->m.cols == in[0]->m.cols && in[i]->m.rows % batch == 0,
              "part %d is [%lld, %lld], the first has %lld columns, of %lld sequences", i, (long long)in[i]->m.rows,
              (long long)in[i]->m.cols, (long long)in[0]->m.cols, (long long)batch);
    tensor *y = tape_tensor(t, rows, in[0]->m.cols);
    for (int i = 0; i < inputs; at += in[i++]->m.rows / batch) copy_part(t, y->m, in[i]->m, at, batch, false, 0);
    node *n = tape_record(t, stack_backward, y, in, inputs, sizeof(stack_saved));
    if (n) memcpy(n->saved, &(stack_saved){batch}, sizeof(stack_saved));
    return y;
}
