/* Mean over groups of rows: y[r] = (x[r g] + ... + x[r g + g - 1]) / g. dL/dx[i] = dy[i div g] / g. */
#include "ops/ops.h"

#include <string.h>

static void pool_backward(tape *t, const node *n) {
    int64_t group = *(const int64_t *)n->saved;
    float beta = 0;
    matrix dx = tape_grad(t, n->in[0], &beta);
    tape_kernel(t, pool, .y = dx, .x = n->out->grad, .group = group, .scale = 1 / (float)group,
                .beta = beta, .spread = true);
}

tensor *pool_rows(tape *t, tensor *x, int64_t group) {
    if (t->status) return &t->nothing;
    CHECK(group > 0 && x->m.rows % group == 0, "%lld rows in groups of %lld", (long long)x->m.rows,
          (long long)group);
    tensor *y = tape_tensor(t, x->m.rows / group, x->m.cols);
    tape_kernel(t, pool, .y = y->m, .x = x->m, .group = group, .scale = 1 / (float)group);
    node *n = tape_record(t, pool_backward, y, &x, 1, sizeof group);
    if (n) memcpy(n->saved, &group, sizeof group);
    return y;
}
