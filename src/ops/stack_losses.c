/* Losses of several heads as one: the walk back goes through each of them, with the weights that its rows have. */
#include "ops/ops.h"

static void losses_backward(tape *t, const node *n) {
    (void)t;
    for (int i = 0; i < n->inputs; i++) n->in[i]->grad_written = true; /* a loss needs no gradient of its own */
}

tensor *stack_losses(tape *t, tensor *const in[], int inputs) {
    int64_t rows = 0, at = 0;
    if (t->status) return &t->nothing;
    for (int i = 0; i < inputs; i++) rows += in[i]->m.rows;
    tensor *y = tape_exact(t, rows, LOSS_COLUMNS);
    for (int i = 0; i < inputs; at += in[i++]->m.rows)
        tape_kernel(t, copy, .y = matrix_rows(y->m, at, in[i]->m.rows), .x = in[i]->m);
    tape_record(t, losses_backward, y, in, inputs, 0);
    return y;
}
