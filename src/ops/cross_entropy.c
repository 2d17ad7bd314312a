/* Head and cross-entropy in one op (see cross_entropy_args for the loss). Logits exist for a piece of
 * rows at a time, forward and backward; the backward pass computes them once more, which costs one
 * product in about seventy. With g = weight dL/dlogits:
 *     dL/dx = g w,  dL/dw = g^T x,  dL/db = the sum of the rows of g. */
#include "ops/ops.h"

#include <string.h>

/* Rows whose logits exist at once. */
static int64_t piece_rows(const tape *t, int64_t rows, int64_t vocabulary) {
    int64_t piece = t->be->logits / vocabulary < 64 ? 64 : t->be->logits / vocabulary;
    return piece < rows ? piece : rows;
}

static void compute_logits(tape *t, matrix logits, matrix x, const cross_entropy_spec *s) {
    matrix bias = s->b ? s->b->m : (matrix){0};
    tape_kernel(t, gemm, .c = logits, .a = x, .b = s->w->m, .bias = bias, .transpose_b = true);
}

static cross_entropy_args arguments(const cross_entropy_spec *s, matrix logits, int64_t from) {
    cross_entropy_args a = {.logits = logits, .smoothing = s->smoothing, .z_loss = s->z_loss};
    a.targets = matrix_rows(s->targets->m, from, logits.rows);
    if (s->weight) a.weight = matrix_rows(s->weight->m, from, logits.rows);
    return a;
}

static void cross_entropy_backward(tape *t, const node *n) {
    const cross_entropy_spec *s = n->saved;
    tensor *x = n->in[0];
    CHECK(s->weight, "a backward pass needs the weight of each row");
    int64_t rows = x->m.rows, step = piece_rows(t, rows, s->w->m.rows);
    tensor *logits = tape_exact(t, step, s->w->m.rows), *grad = logits;
    if (t->be->real != t->be->exact) grad = tape_tensor(t, step, s->w->m.rows);
    float beta_x = 0, beta_w = 0, beta_b = 0;
    matrix dx = tape_grad(t, x, &beta_x);
    matrix dw = tape_grad(t, s->w, &beta_w), db = tape_grad(t, s->b, &beta_b);
    for (int64_t r = 0; r < rows; r += step) {
        matrix g = matrix_rows(grad->m, 0, rows - r < step ? rows - r : step);
        matrix xr = matrix_rows(x->m, r, g.rows), piece = matrix_rows(logits->m, 0, g.rows);
        compute_logits(t, piece, xr, s);
        cross_entropy_args a = arguments(s, piece, r);
        a.grad = g;
        tape_kernel_args(t, cross_entropy_bwd, &a);
        if (dx.data)
            tape_kernel(t, gemm, .c = matrix_rows(dx, r, g.rows), .a = g, .b = s->w->m, .beta = beta_x);
        if (dw.data)
            tape_kernel(t, gemm, .c = dw, .a = g, .b = xr, .transpose_a = true, .beta = beta_w);
        if (db.data) tape_kernel(t, column_sum, .y = db, .x = g, .beta = beta_b);
        beta_w = beta_b = 1;
    }
    if (grad != logits) tape_drop(t, grad);
    tape_drop(t, logits);
}

tensor *cross_entropy(tape *t, tensor *x, const cross_entropy_spec *s) {
    if (t->status) return &t->nothing;
    CHECK(x->m.cols == s->w->m.cols && s->targets->m.rows == x->m.rows,
          "x [%lld, %lld], head of %lld columns, %lld targets", (long long)x->m.rows,
          (long long)x->m.cols, (long long)s->w->m.cols, (long long)s->targets->m.rows);
    int64_t rows = x->m.rows, step = piece_rows(t, rows, s->w->m.rows);
    tensor *loss = tape_exact(t, rows, LOSS_COLUMNS);
    tensor *logits = tape_exact(t, step, s->w->m.rows);
    for (int64_t r = 0; r < rows; r += step) {
        matrix piece = matrix_rows(logits->m, 0, rows - r < step ? rows - r : step);
        compute_logits(t, piece, matrix_rows(x->m, r, piece.rows), s);
        cross_entropy_args a = arguments(s, piece, r);
        a.loss = matrix_rows(loss->m, r, piece.rows);
        tape_kernel_args(t, cross_entropy_fwd, &a);
    }
    tape_drop(t, logits);
    node *n = tape_record(t, cross_entropy_backward, loss, (tensor *[]){x, s->w, s->b}, 3, sizeof *s);
    if (n) memcpy(n->saved, s, sizeof *s);
    return loss;
}
