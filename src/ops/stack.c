/* Rows of a and of b, sequence by sequence: y_s = [a_s; b_s]. dL/db is the lower part of each; a is constant. */
#include "ops/ops.h"

#include <string.h>

typedef struct stack_saved {
    int64_t batch;
} stack_saved;

static void stack_backward(tape *t, const node *n) {
    int64_t batch = ((const stack_saved *)n->saved)->batch;
    int64_t all = n->out->m.rows / batch, rows = n->in[0]->m.rows / batch;
    float beta = 0;
    matrix db = tape_grad(t, n->in[0], &beta);
    for (int64_t s = 0; s < batch && db.data; s++)
        tape_kernel(t, copy, .y = matrix_rows(db, s * rows, rows),
                    .x = matrix_rows(n->out->grad, (s + 1) * all - rows, rows), .beta = beta);
}

tensor *stack_rows(tape *t, tensor *a, tensor *b, int64_t batch) {
    if (t->status) return &t->nothing;
    CHECK(a->m.cols == b->m.cols && a->m.rows % batch == 0 && b->m.rows % batch == 0,
          "a [%lld, %lld], b [%lld, %lld], %lld sequences", (long long)a->m.rows, (long long)a->m.cols,
          (long long)b->m.rows, (long long)b->m.cols, (long long)batch);
    int64_t upper = a->m.rows / batch, lower = b->m.rows / batch;
    tensor *y = tape_tensor(t, a->m.rows + b->m.rows, a->m.cols);
    for (int64_t s = 0; s < batch; s++) {
        matrix part = matrix_rows(y->m, s * (upper + lower), upper + lower);
        tape_kernel(t, copy, .y = matrix_rows(part, 0, upper), .x = matrix_rows(a->m, s * upper, upper));
        tape_kernel(t, copy, .y = matrix_rows(part, upper, lower), .x = matrix_rows(b->m, s * lower, lower));
    }
    node *n = tape_record(t, stack_backward, y, (tensor *[]){b}, 1, sizeof(stack_saved));
    if (n) memcpy(n->saved, &(stack_saved){batch}, sizeof(stack_saved));
    return y;
}
