/* How far outputs are from numbers that they should be (see distance_args). */
#include "ops/ops.h"

#include <string.h>

static distance_args arguments(const distance_spec *s, const tensor *y) {
    return (distance_args){.y = y->m, .target = s->target->m, .counts = s->counts->m, .kind = s->kind,
                           .scale = s->scale};
}

static void distance_backward(tape *t, const node *n) {
    const distance_spec *s = n->saved;
    CHECK(s->weight, "a backward pass needs the weight of each row");
    distance_args a = arguments(s, n->in[0]);
    a.weight = s->weight->m;
    a.dy = tape_grad(t, n->in[0], &a.beta);
    if (a.dy.data) tape_kernel_args(t, distance_bwd, &a);
}

tensor *distance(tape *t, tensor *y, const distance_spec *s) {
    if (t->status) return &t->nothing;
    CHECK(y->m.cols == s->target->m.cols && y->m.rows == s->target->m.rows && s->counts->m.rows == y->m.rows,
          "y [%lld, %lld], target [%lld, %lld], %lld counts", (long long)y->m.rows, (long long)y->m.cols,
          (long long)s->target->m.rows, (long long)s->target->m.cols, (long long)s->counts->m.rows);
    tensor *loss = tape_exact(t, y->m.rows, LOSS_COLUMNS);
    distance_args a = arguments(s, y);
    a.loss = loss->m;
    tape_kernel_args(t, distance_fwd, &a);
    node *n = tape_record(t, distance_backward, loss, &y, 1, sizeof *s);
    if (n) memcpy(n->saved, s, sizeof *s);
    return loss;
}
