/* Activations: y = f(x), and the gated kinds y = f(gate) value for x = [gate, value].
 *     dL/dx = dy f'(x);  dL/dgate = dy f'(gate) value,  dL/dvalue = dy f(gate). */
#include "ops/ops.h"

#include <string.h>

static bool gated(activation kind) { return kind == SWIGLU || kind == GEGLU; }

static void activate_backward(tape *t, const node *n) {
    float beta = 0;
    matrix dx = tape_grad(t, n->in[0], &beta);
    CHECK(beta == 0, "the input of an activation is read by another op");
    tape_kernel(t, activate_bwd, .dx = dx, .dy = n->out->grad, .x = n->in[0]->m,
                .kind = *(const activation *)n->saved);
}

tensor *activate(tape *t, tensor *x, activation kind) {
    if (t->status) return &t->nothing;
    CHECK(!gated(kind) || x->m.cols % 2 == 0, "a gated activation of %lld columns",
          (long long)x->m.cols);
    tensor *y = tape_tensor(t, x->m.rows, gated(kind) ? x->m.cols / 2 : x->m.cols);
    tape_kernel(t, activate_fwd, .y = y->m, .x = x->m, .kind = kind);
    node *n = tape_record(t, activate_backward, y, &x, 1, sizeof kind);
    if (n) memcpy(n->saved, &kind, sizeof kind);
    return y;
}
