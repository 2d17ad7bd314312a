/* Normalization of columns (see column_norm_args). With g = w dy and means over the rows:
 *     dL/dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(variance + epsilon), measured; else g / sqrt(variance + epsilon)
 *     dL/dw = the sum of dy xhat, dL/db = that of dy. */
#include "ops/ops.h"

#include <string.h>

static void column_norm_backward(tape *t, const node *n) {
    const column_norm_spec *s = n->saved;
    column_norm_bwd_args a = {.dy = n->out->grad, .x = n->in[0]->m, .w = s->w->m, .mean = s->mean->m,
                              .variance = s->variance->m, .epsilon = s->epsilon, .measured = s->measure};
    a.dx = tape_grad(t, n->in[0], &a.beta);
    a.dw = tape_grad(t, n->in[1], &a.beta_w);
    a.db = tape_grad(t, n->in[2], &a.beta_b);
    tape_kernel_args(t, column_norm_bwd, &a);
}

tensor *column_norm(tape *t, tensor *x, const column_norm_spec *s) {
    if (t->status) return &t->nothing;
    CHECK(s->w->m.cols == x->m.cols && s->b->m.cols == x->m.cols && s->mean->m.cols == x->m.cols &&
              s->variance->m.cols == x->m.cols,
          "x [%lld, %lld], w [1, %lld]", (long long)x->m.rows, (long long)x->m.cols, (long long)s->w->m.cols);
    tensor *y = tape_tensor(t, x->m.rows, x->m.cols);
    tape_kernel(t, column_norm_fwd, .y = y->m, .x = x->m, .w = s->w->m, .b = s->b->m, .mean = s->mean->m,
                .variance = s->variance->m, .epsilon = s->epsilon, .measure = s->measure);
    node *n = tape_record(t, column_norm_backward, y, (tensor *[]){x, s->w, s->b}, 3, sizeof *s);
    if (n) memcpy(n->saved, s, sizeof *s);
    return y;
}
