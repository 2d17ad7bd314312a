/* Gather: y[r] = x[index[r]], or zeros for a negative index. Its adjoint scatters:
 * dL/dx[i] = sum of dy[r] over the rows r with index[r] = i. */
#include "ops/ops.h"

static void gather_backward(tape *t, const node *n) {
    float beta = 0;
    matrix dx = tape_grad(t, n->in[0], &beta);
    tape_kernel(t, gather_bwd, .dx = dx, .dy = n->out->grad, .index = n->in[1]->m, .beta = beta);
}

tensor *gather(tape *t, tensor *x, tensor *index) {
    if (t->status) return &t->nothing;
    tensor *y = tape_tensor(t, index->m.rows, x->m.cols);
    tape_kernel(t, gather_fwd, .y = y->m, .x = x->m, .index = index->m);
    tape_record(t, gather_backward, y, (tensor *[]){x, index}, 2, 0);
    return y;
}
