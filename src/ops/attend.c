/* Attention without the N x M matrix.
 *
 * Forward keeps, per query and head, the running maximum and sum of exponentials over tiles of keys
 * (Milakov and Gimelshein 2018; Dao et al. 2022) and stores only lse = log sum_j exp(scale q.k_j).
 * Backward computes the probabilities again, tile by tile, P_ij = exp(scale q_i.k_j - lse_i), and with
 * delta_i = o_i . do_i:
 *     dv_j = sum_i P_ij do_i
 *     dS_ij = P_ij (do_i . v_j - delta_i)
 *     dq_i = scale sum_j dS_ij k_j,   dk_j = scale sum_i dS_ij q_i
 * Memory is O((N + M) C). docs/attention_backward.md derives this. */
#include "ops/ops.h"

#include <string.h>

typedef struct attend_saved {
    attend_spec spec;
    tensor *lse; /* [B N, H] */
} attend_saved;

static attend_args arguments(const attend_spec *s, const tensor *q, const tensor *k,
                             const tensor *v) {
    attend_args a = {.q = q->m, .k = k->m, .v = v->m, .begin = s->begin->m, .end = s->end->m};
    if (s->hidden) a.hidden = s->hidden->m;
    a.batch = s->batch;
    a.heads = s->heads;
    a.scale = s->scale;
    return a;
}

/* A gradient that the kernel overwrites: the tensor's own where it has none yet, else scratch. */
static matrix overwritten_grad(tape *t, tensor *x, tensor **scratch) {
    *scratch = NULL;
    if (x->wants_grad && !x->grad_written) {
        float beta;
        return tape_grad(t, x, &beta);
    }
    *scratch = tape_tensor(t, x->m.rows, x->m.cols);
    return (*scratch)->m;
}

static void add_scratch(tape *t, tensor *x, tensor *scratch) {
    if (!scratch) return;
    float beta = 0;
    matrix dx = tape_grad(t, x, &beta);
    if (dx.data) tape_kernel(t, copy, .y = dx, .x = scratch->m, .beta = beta);
    tape_drop(t, scratch);
}

static void attend_backward(tape *t, const node *n) {
    const attend_saved *s = n->saved;
    tensor *const *in = n->in;
    int64_t rows = in[0]->m.rows, cols = in[0]->m.cols;
    int64_t chunks = attend_chunks(s->spec.batch, s->spec.heads, in[1]->m.rows / s->spec.batch);
    tensor *scratch[3];
    tensor *delta = tape_tensor(t, rows, s->spec.heads);
    tensor *partial = tape_tensor(t, chunks > 1 ? chunks * rows : 0, cols);
    attend_bwd_args a = {.fwd = arguments(&s->spec, in[0], in[1], in[2])};
    a.fwd.o = n->out->m;
    a.fwd.lse = s->lse->m;
    a.grad_o = n->out->grad;
    a.dq = overwritten_grad(t, in[0], &scratch[0]);
    a.dk = overwritten_grad(t, in[1], &scratch[1]);
    a.dv = overwritten_grad(t, in[2], &scratch[2]);
    a.delta = delta->m;
    a.partial = partial->m;
    if (!t->status) run_kernel_args(t->be, attend_bwd, &a);
    tape_drop(t, partial);
    tape_drop(t, delta);
    for (int i = 0; i < 3; i++) add_scratch(t, in[i], scratch[i]);
}

tensor *attend(tape *t, tensor *q, tensor *k, tensor *v, const attend_spec *s) {
    int64_t B = s->batch;
    CHECK(q->m.cols == k->m.cols && q->m.cols == v->m.cols && q->m.cols % s->heads == 0 &&
              k->m.rows == v->m.rows && q->m.rows % B == 0 && k->m.rows % B == 0 &&
              s->begin->m.rows == q->m.rows && s->end->m.rows == q->m.rows,
          "q [%lld, %lld], k [%lld, %lld], v [%lld, %lld], %lld sequences, %lld heads",
          (long long)q->m.rows, (long long)q->m.cols, (long long)k->m.rows, (long long)k->m.cols,
          (long long)v->m.rows, (long long)v->m.cols, (long long)B, (long long)s->heads);
    tensor *o = tape_tensor(t, q->m.rows, q->m.cols);
    tensor *lse = tape_tensor(t, q->m.rows, s->heads);
    attend_args a = arguments(s, q, k, v);
    a.o = o->m;
    a.lse = lse->m;
    if (!t->status) run_kernel_args(t->be, attend_fwd, &a);
    tensor *in[] = {q, k, v, s->begin, s->end, s->hidden};
    node *n = tape_record(t, attend_backward, o, in, 6, sizeof(attend_saved));
    if (n) memcpy(n->saved, &(attend_saved){*s, lse}, sizeof(attend_saved));
    o->keep = n != NULL; /* delta reads it */
    return o;
}

tensor *attend_map(tape *t, tensor *q, tensor *k, const attend_spec *s, const map_spec *map) {
    int64_t last = map->first + (map->rows - 1) * map->every;
    CHECK(s->batch == 1 && map->first >= 0 && map->rows > 0 && last < q->m.rows && k->m.rows <= map->span,
          "queries %lld to %lld of %lld, %lld keys of %lld", (long long)map->first, (long long)last,
          (long long)q->m.rows, (long long)k->m.rows, (long long)map->span);
    tensor *y = tape_tensor(t, map->rows, map->bins);
    attend_map_args a = {.fwd = arguments(s, q, k, k), .map = y->m, .first = map->first, .every = map->every,
                         .span = map->span};
    if (!t->status) run_kernel_args(t->be, attend_map, &a);
    return y;
}

/* ------------------------------------------------------------------ relative positions */

/* One head of attend_relative: its columns of everything. relative is scratch [distances, B N]. */
static attend_args head_arguments(const attend_spec *s, tensor *const in[5], matrix relative, int64_t head) {
    int64_t D = in[0]->m.cols / s->heads, from = head * D;
    attend_args a = arguments(s, in[0], in[2], in[3]);
    a.q = matrix_columns(a.q, from, D);
    a.k = matrix_columns(a.k, from, D);
    a.v = matrix_columns(a.v, from, D);
    a.relative = relative;
    a.heads = 1;
    return a;
}

/* r_d . p_i of one head: [distances, B N] */
static void score_distances(tape *t, tensor *const in[5], matrix relative, int64_t from, int64_t D) {
    tape_kernel(t, gemm, .c = relative, .a = matrix_columns(in[4]->m, from, D), .b = matrix_columns(in[1]->m, from, D),
                .transpose_b = true);
}

static void relative_backward(tape *t, const node *n) {
    const attend_saved *s = n->saved;
    tensor *const *in = n->in, *scratch[3];
    int64_t rows = in[0]->m.rows, H = s->spec.heads, D = in[0]->m.cols / H;
    int64_t chunks = attend_chunks(s->spec.batch, 1, in[2]->m.rows / s->spec.batch);
    tensor *delta = tape_tensor(t, rows, 1), *partial = tape_tensor(t, chunks > 1 ? chunks * rows : 0, D);
    tensor *relative = tape_tensor(t, in[4]->m.rows, rows), *grad = tape_tensor(t, in[4]->m.rows, rows);
    matrix dq = overwritten_grad(t, in[0], &scratch[0]), dk = overwritten_grad(t, in[2], &scratch[1]);
    matrix dv = overwritten_grad(t, in[3], &scratch[2]);
    float beta_p = 0, beta_r = 0;
    matrix dp = tape_grad(t, in[1], &beta_p), dr = tape_grad(t, in[4], &beta_r);
    for (int64_t h = 0; h < H && !t->status; h++) {
        int64_t from = h * D;
        score_distances(t, in, relative->m, from, D);
        attend_bwd_args a = {.fwd = head_arguments(&s->spec, in, relative->m, h)};
        a.fwd.o = matrix_columns(n->out->m, from, D);
        a.fwd.lse = matrix_columns(s->lse->m, h, 1);
        a.grad_o = matrix_columns(n->out->grad, from, D);
        a.dq = matrix_columns(dq, from, D);
        a.dk = matrix_columns(dk, from, D);
        a.dv = matrix_columns(dv, from, D);
        a.grad_relative = grad->m;
        a.delta = delta->m;
        a.partial = partial->m;
        run_kernel_args(t->be, attend_bwd, &a);
        if (dp.data)
            tape_kernel(t, gemm, .c = matrix_columns(dp, from, D), .a = grad->m, .b = matrix_columns(in[4]->m, from, D),
                        .transpose_a = true, .beta = beta_p);
        if (dr.data)
            tape_kernel(t, gemm, .c = matrix_columns(dr, from, D), .a = grad->m, .b = matrix_columns(in[1]->m, from, D),
                        .beta = beta_r);
    }
    tape_drop(t, grad);
    tape_drop(t, relative);
    tape_drop(t, partial);
    tape_drop(t, delta);
    static const int place[] = {0, 2, 3};
    for (int i = 0; i < 3; i++) add_scratch(t, in[place[i]], scratch[i]);
}

tensor *attend_relative(tape *t, tensor *q, tensor *p, tensor *k, tensor *v, tensor *r, const attend_spec *s) {
    tensor *in[] = {q, p, k, v, r, s->begin, s->end, s->hidden};
    int64_t D = q->m.cols / s->heads;
    CHECK(q->m.cols == k->m.cols && q->m.cols == v->m.cols && q->m.cols == p->m.cols && q->m.cols == r->m.cols &&
              q->m.cols % s->heads == 0 && p->m.rows == q->m.rows && k->m.rows == v->m.rows &&
              q->m.rows % s->batch == 0 && k->m.rows % s->batch == 0,
          "q [%lld, %lld], p [%lld, %lld], k [%lld, %lld], r [%lld, %lld], %lld sequences", (long long)q->m.rows,
          (long long)q->m.cols, (long long)p->m.rows, (long long)p->m.cols, (long long)k->m.rows,
          (long long)k->m.cols, (long long)r->m.rows, (long long)r->m.cols, (long long)s->batch);
    tensor *o = tape_tensor(t, q->m.rows, q->m.cols), *lse = tape_tensor(t, q->m.rows, s->heads);
    tensor *relative = tape_tensor(t, r->m.rows, q->m.rows);
    for (int64_t h = 0; h < s->heads && !t->status; h++) {
        score_distances(t, in, relative->m, h * D, D);
        attend_args a = head_arguments(s, in, relative->m, h);
        a.o = matrix_columns(o->m, h * D, D);
        a.lse = matrix_columns(lse->m, h, 1);
        run_kernel_args(t->be, attend_fwd, &a);
    }
    tape_drop(t, relative);
    node *n = tape_record(t, relative_backward, o, in, 8, sizeof(attend_saved));
    if (n) memcpy(n->saved, &(attend_saved){*s, lse}, sizeof(attend_saved));
    o->keep = n != NULL; /* delta reads it */
    return o;
}
