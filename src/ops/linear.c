/* Linear map: y = x w^T + b, x [rows, in], w [out, in], b [1, out].
 *     dL/dx = dy w,  dL/dw = dy^T x,  dL/db = the sum of the rows of dy. */
#include "ops/ops.h"

static void linear_backward(tape *t, const node *n) {
    tensor *x = n->in[0], *w = n->in[1], *b = n->in[2];
    matrix dy = n->out->grad;
    float beta = 0;
    matrix dw = tape_grad(t, w, &beta);
    if (dw.data)
        tape_kernel(t, gemm, .c = dw, .a = dy, .b = x->m, .transpose_a = true, .beta = beta);
    matrix db = tape_grad(t, b, &beta);
    if (db.data) tape_kernel(t, column_sum, .y = db, .x = dy, .beta = beta);
    matrix dx = tape_grad(t, x, &beta);
    if (dx.data) tape_kernel(t, gemm, .c = dx, .a = dy, .b = w->m, .beta = beta);
}

tensor *linear(tape *t, tensor *x, tensor *w, tensor *b) {
    if (t->status) return &t->nothing;
    CHECK(x->m.cols == w->m.cols && (!b || b->m.cols == w->m.rows),
          "x [%lld, %lld], w [%lld, %lld]", (long long)x->m.rows, (long long)x->m.cols,
          (long long)w->m.rows, (long long)w->m.cols);
    tensor *y = tape_tensor(t, x->m.rows, w->m.rows);
    matrix bias = b ? b->m : (matrix){0};
    tape_kernel(t, gemm, .c = y->m, .a = x->m, .b = w->m, .bias = bias, .transpose_b = true,
                .by_row = t->by_row);
    tape_record(t, linear_backward, y, (tensor *[]){x, w, b}, 3, 0);
    return y;
}
