/* Rotary position embedding (Su et al. 2021, RoFormer): pair j of a head's channels turns by the
 * angle position * frequency_j. A rotation is undone by the opposite one, so neither direction needs
 * the other's values and x can be turned where it lies: dL/dx is dL/dy turned back. */
#include "ops/ops.h"

#include <string.h>

static void turn(tape *t, matrix x, const rotate_spec *s, float sign) {
    tape_kernel(t, rotate, .x = x, .positions = s->positions->m, .frequency = s->frequency->m,
                .heads = s->heads, .group = s->group, .chosen = s->chosen,
                .interleaved = s->interleaved, .sign = sign);
}

static void rotate_backward(tape *t, const node *n) { turn(t, n->out->grad, n->saved, -1); }

tensor *rotate(tape *t, tensor *x, const rotate_spec *s) {
    if (t->status) return &t->nothing;
    int64_t width = x->m.cols / s->heads;
    CHECK(!x->first_use && !x->views, "x was read before it was rotated");
    CHECK(x->m.cols % s->heads == 0 && 2 * s->frequency->m.cols <= width &&
              s->positions->m.rows == x->m.rows,
          "%lld columns, %lld heads, %lld bands, %lld positions for %lld rows", (long long)x->m.cols,
          (long long)s->heads, (long long)s->frequency->m.cols, (long long)s->positions->m.rows,
          (long long)x->m.rows);
    turn(t, x->m, s, 1);
    node *n = tape_record(t, rotate_backward, x, &x, 1, sizeof *s);
    if (n) memcpy(n->saved, s, sizeof *s);
    x->first_use = 0; /* the turn back does not read its values */
    return x;
}
