/* Layer norm and RMS norm over the channels of a row, with the row's own choice between two sets of
 * weights. With xh = (x - mean) rstd and g = dy w (RMS norm: mean 0 in all of this):
 *     dL/dx = rstd (g - mean(g) - xh mean(g xh)),  dL/dw = sum of dy xh,  dL/db = sum of dy. */
#include "ops/ops.h"

#include <string.h>

typedef struct norm_saved {
    norm_spec spec;
    tensor *stats; /* [rows, 2]: mean, rstd */
} norm_saved;

static void norm_backward(tape *t, const node *n) {
    const norm_saved *s = n->saved;
    tensor *x = n->in[0];
    tensor *partial = tape_exact(t, t->be->norm_parts(t->be, x->m.rows), 4 * x->m.cols);
    norm_bwd_args a = {.dy = n->out->grad,
                       .x = x->m,
                       .stats = s->stats->m,
                       .partial = partial->m,
                       .rms = s->spec.rms};
    if (s->spec.set) a.set = s->spec.set->m;
    a.dx = tape_grad(t, x, &a.beta);
    for (int i = 0; i < 2; i++) {
        if (!s->spec.w[i]) continue;
        float beta = 0;
        a.w[i] = s->spec.w[i]->m;
        a.dw[i] = tape_grad(t, s->spec.w[i], &a.beta_w[i]);
        a.db[i] = tape_grad(t, s->spec.b[i], &beta);
    }
    tape_kernel_args(t, norm_bwd, &a);
    tape_drop(t, partial);
}

/* sum: how x comes to be, where that is still to be done, or NULL. */
static tensor *norm_of(tape *t, tensor *x, const norm_spec *s, const dropout_args *sum) {
    for (int i = 0; i < 2; i++)
        CHECK(!s->w[i] || s->w[i]->m.cols == x->m.cols, "weights of %lld columns for %lld",
              (long long)s->w[i]->m.cols, (long long)x->m.cols);
    tensor *y = tape_tensor(t, x->m.rows, x->m.cols);
    tensor *stats = tape_exact(t, x->m.rows, 2);
    norm_args a = {.y = y->m, .x = x->m, .stats = stats->m, .epsilon = s->epsilon, .rms = s->rms};
    if (sum) a.sum = *sum;
    if (s->set) a.set = s->set->m;
    for (int i = 0; i < 2; i++) {
        if (s->w[i]) a.w[i] = s->w[i]->m;
        if (s->b[i]) a.b[i] = s->b[i]->m;
    }
    tape_kernel_args(t, norm_fwd, &a);
    tensor *in[] = {x, s->w[0], s->b[0], s->w[1], s->b[1]};
    node *n = tape_record(t, norm_backward, y, in, 5, sizeof(norm_saved));
    if (n) memcpy(n->saved, &(norm_saved){*s, stats}, sizeof(norm_saved));
    return y;
}

tensor *norm(tape *t, tensor *x, const norm_spec *s) { return t->status ? &t->nothing : norm_of(t, x, s, NULL); }

tensor *add_norm(tape *t, tensor *x, tensor *a, double p, const norm_spec *s, tensor **sum) {
    dropout_args kernel;
    *sum = &t->nothing;
    if (t->status) return *sum;
    *sum = add_record(t, x, a, p, &kernel);
    return t->status ? &t->nothing : norm_of(t, *sum, s, &kernel);
}
