/* Residual sum with dropout: y = x + mask a / (1 - p) (Srivastava et al. 2014, inverted).
 * dL/dx = dy, which shares dy's memory; dL/da = mask dy / (1 - p), the mask drawn again. */
#include "ops/ops.h"

#include <string.h>

typedef struct add_saved {
    double p;
    uint32_t draw; /* which stream of random numbers */
} add_saved;

static void add_backward(tape *t, const node *n) {
    const add_saved *s = n->saved;
    tape_pass_grad(t, n->in[0], n->out);
    if (s->p == 0) {
        tape_pass_grad(t, n->in[1], n->out);
        return;
    }
    float beta = 0;
    matrix da = tape_grad(t, n->in[1], &beta);
    if (da.data)
        tape_kernel(t, dropout, .y = da, .a = n->out->grad, .p = (float)s->p, .beta = beta,
                    .seed = t->seed, .step = t->step, .node = s->draw);
}

tensor *add_record(tape *t, tensor *x, tensor *a, double p, dropout_args *kernel) {
    CHECK(x->m.rows == a->m.rows && x->m.cols == a->m.cols, "[%lld, %lld] and [%lld, %lld]",
          (long long)x->m.rows, (long long)x->m.cols, (long long)a->m.rows, (long long)a->m.cols);
    add_saved s = {.p = t->training ? p : 0};
    if (s.p > 0) s.draw = ++t->draws;
    tensor *y = tape_tensor(t, x->m.rows, x->m.cols);
    *kernel = (dropout_args){.y = y->m, .x = x->m, .a = a->m, .p = (float)s.p, .seed = t->seed, .step = t->step,
                             .node = s.draw};
    node *n = tape_record(t, add_backward, y, (tensor *[]){x, a}, 2, sizeof s);
    if (n) memcpy(n->saved, &s, sizeof s);
    return y;
}

tensor *add(tape *t, tensor *x, tensor *a, double p) {
    dropout_args kernel;
    if (t->status) return &t->nothing;
    tensor *y = add_record(t, x, a, p, &kernel);
    tape_kernel_args(t, dropout, &kernel);
    return y;
}
