/* Attention without the N x M matrix.
 *
 * Forward keeps, per query and head, the running maximum and sum of exponentials over tiles of keys
 * (Milakov and Gimelshein 2018; Dao et al. 2022) and stores only lse = log sum_j exp(scale q.k_j).
 * Backward computes the probabilities again, tile by tile, P_ij = exp(scale q_i.k_j - lse_i), and with
 * delta_i = o_i . do_i:
 *     dv_j = sum_i P_ij do_i
 *     dS_ij = P_ij (do_i . v_j - delta_i)
 *     dq_i = scale sum_j dS_ij k_j,   dk_j = scale sum_i dS_ij q_i
 * With relative positions the score is scale (q_i.k_j + p_i.r_d), and dS_ij flows to p_i and r_d as to q_i and k_j.
 * Memory is O((N + M) C). docs/attention_backward.md derives this. */
#include "ops/ops.h"

#include <string.h>

typedef struct attend_saved {
    attend_spec spec;
    tensor *lse; /* [B N, H] */
} attend_saved;

/* What an op reads: p and r are NULL without relative positions. */
enum { IN_Q, IN_K, IN_V, IN_P, IN_R, IN_BEGIN, IN_END, IN_HIDDEN, INPUTS };

static attend_args arguments(const attend_spec *s, tensor *const in[INPUTS]) {
    attend_args a = {.q = in[IN_Q]->m, .k = in[IN_K]->m, .v = in[IN_V]->m, .begin = s->begin->m, .end = s->end->m};
    if (s->hidden) a.hidden = s->hidden->m;
    if (s->slots) a.slots = s->slots->m;
    a.keys = s->keys;
    if (in[IN_P]) a.p = in[IN_P]->m;
    if (in[IN_R]) a.r = in[IN_R]->m;
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
    int64_t rows = in[IN_Q]->m.rows, cols = in[IN_Q]->m.cols, B = s->spec.batch;
    int64_t chunks = t->be->attend_chunks(t->be, B, s->spec.heads, cols / s->spec.heads, in[IN_K]->m.rows / B);
    int64_t parts = chunks > 1 ? chunks * rows : 0;
    int64_t parts_r = in[IN_R] && B * chunks > 1 ? B * chunks * in[IN_R]->m.rows : 0;
    tensor *scratch[IN_R + 1] = {0};
    attend_bwd_args a = {.fwd = arguments(&s->spec, in), .chunks = chunks};
    matrix *grad[] = {&a.dq, &a.dk, &a.dv, &a.dp, &a.dr};
    tensor *delta = tape_exact(t, rows, s->spec.heads), *partial = tape_exact(t, parts, cols);
    tensor *partial_p = tape_exact(t, in[IN_P] ? parts : 0, cols), *partial_r = tape_exact(t, parts_r, cols);
    a.fwd.o = n->out->m;
    a.fwd.lse = s->lse->m;
    a.grad_o = n->out->grad;
    for (int i = IN_Q; i <= IN_R; i++)
        if (in[i]) *grad[i] = overwritten_grad(t, in[i], &scratch[i]);
    a.delta = delta->m;
    if (parts) a.partial = partial->m;
    if (parts && in[IN_P]) a.partial_p = partial_p->m;
    if (parts_r) a.partial_r = partial_r->m;
    tape_kernel_args(t, attend_bwd, &a);
    tape_drop(t, partial_r);
    tape_drop(t, partial_p);
    tape_drop(t, partial);
    tape_drop(t, delta);
    for (int i = IN_Q; i <= IN_R; i++) add_scratch(t, in[i], scratch[i]);
}

tensor *attend_relative(tape *t, tensor *q, tensor *p, tensor *k, tensor *v, tensor *r, const attend_spec *s) {
    if (t->status) return &t->nothing;
    int64_t B = s->batch, C = q->m.cols;
    CHECK(C == k->m.cols && C == v->m.cols && C % s->heads == 0 && k->m.rows == v->m.rows && q->m.rows % B == 0 &&
              (s->slots || k->m.rows % B == 0) && s->begin->m.rows == q->m.rows && s->end->m.rows == q->m.rows,
          "q [%lld, %lld], k [%lld, %lld], v [%lld, %lld], %lld sequences, %lld heads", (long long)q->m.rows,
          (long long)C, (long long)k->m.rows, (long long)k->m.cols, (long long)v->m.rows, (long long)v->m.cols,
          (long long)B, (long long)s->heads);
    CHECK(!s->slots || (s->keys > 0 && s->slots->m.rows == B && !s->hidden && !t->recording),
          "slots of %lld keys for %lld sequences", (long long)s->keys, (long long)B);
    CHECK(!p == !r && (!p || (p->m.cols == C && p->m.rows == q->m.rows && r->m.cols == C)),
          "q [%lld, %lld], p [%lld, %lld], r [%lld, %lld]", (long long)q->m.rows, (long long)C,
          (long long)(p ? p->m.rows : 0), (long long)(p ? p->m.cols : 0), (long long)(r ? r->m.rows : 0),
          (long long)(r ? r->m.cols : 0));
    tensor *o = tape_tensor(t, q->m.rows, C), *lse = tape_exact(t, q->m.rows, s->heads);
    tensor *in[INPUTS] = {q, k, v, p, r, s->begin, s->end, s->hidden};
    attend_args a = arguments(s, in);
    a.o = o->m;
    a.lse = lse->m;
    tape_kernel_args(t, attend_fwd, &a);
    node *n = tape_record(t, attend_backward, o, in, INPUTS, sizeof(attend_saved));
    if (n) memcpy(n->saved, &(attend_saved){*s, lse}, sizeof(attend_saved));
    o->keep = n != NULL; /* delta reads it */
    return o;
}

tensor *attend(tape *t, tensor *q, tensor *k, tensor *v, const attend_spec *s) {
    return attend_relative(t, q, NULL, k, v, NULL, s);
}

tensor *attend_map(tape *t, tensor *q, tensor *k, const attend_spec *s, const map_spec *map) {
    if (t->status) return &t->nothing;
    int64_t last = map->first + (map->rows - 1) * map->every;
    CHECK(s->batch == 1 && map->first >= 0 && map->rows > 0 && last < q->m.rows && map->offset >= 0 &&
              map->offset + k->m.rows <= map->span,
          "queries %lld to %lld of %lld, %lld keys behind %lld of %lld", (long long)map->first, (long long)last,
          (long long)q->m.rows, (long long)k->m.rows, (long long)map->offset, (long long)map->span);
    tensor *y = tape_exact(t, map->rows, map->bins);
    tensor *in[INPUTS] = {q, k, k};
    attend_map_args a = {.fwd = arguments(s, in), .map = y->m, .first = map->first, .every = map->every,
                         .span = map->span, .offset = map->offset};
    tape_kernel_args(t, attend_map, &a);
    return y;
}
