/* The largest of several rows, column by column: y[r] = max_i x[index[r k + i]]. dL/dx takes dy where x was taken. */
#include "ops/ops.h"

#include <string.h>

typedef struct max_saved {
    matrix best;
} max_saved;

static void max_backward(tape *t, const node *n) {
    float beta = 0;
    matrix dx = tape_grad(t, n->in[0], &beta);
    tape_kernel(t, max_rows_bwd, .dx = dx, .dy = n->out->grad, .best = ((const max_saved *)n->saved)->best,
                .beta = beta);
}

tensor *max_rows(tape *t, tensor *x, tensor *index, int64_t of) {
    if (t->status) return &t->nothing;
    CHECK(of > 0 && index->m.rows % of == 0, "%lld rows by %lld", (long long)index->m.rows, (long long)of);
    int64_t rows = index->m.rows / of, cols = x->m.cols;
    tensor *y = tape_tensor(t, rows, cols), *best = tape_numbers(t, rows, cols);
    best->keep = true; /* until the walk has passed */
    tape_kernel(t, max_rows_fwd, .y = y->m, .x = x->m, .index = index->m, .best = best->m, .of = of);
    node *n = tape_record(t, max_backward, y, &x, 1, sizeof(max_saved));
    if (n) memcpy(n->saved, &(max_saved){best->m}, sizeof(max_saved));
    else tape_drop(t, best);
    return y;
}
