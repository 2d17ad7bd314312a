/* Attention over places that were found by what stands in front of them, not by a product of queries and keys: their
 * scores are looked up by how long the match is, and fall with the logarithm of the distance. With softmax
 * probabilities p_i and dp_i = do . value[next_i] (nothing: 0):
 *     ds_i = p_i (dp_i - sum over j of p_j dp_j)
 *     dvalue[v] = sum of p_i do over places with next_i = v
 *     dlength[h][c] = sum of ds_i over those of class c,  dslope[h] = - sum of ds_i octaves_i / parts */
#include "ops/ops.h"

#include <string.h>

enum { IN_VALUE, IN_LENGTH, IN_SLOPE, INPUTS };

static found_args arguments(const found_spec *s, tensor *const in[INPUTS]) {
    return (found_args){.value = in[IN_VALUE]->m, .length = in[IN_LENGTH]->m, .slope = in[IN_SLOPE]->m,
                        .next = s->next->m, .matched = s->matched->m, .octaves = s->octaves->m,
                        .heads = in[IN_LENGTH]->m.rows, .places = s->places, .parts = s->parts};
}

static void found_backward(tape *t, const node *n) {
    const found_spec *s = n->saved;
    int64_t entries = n->in[IN_LENGTH]->m.rows * (s->places + 1), rows = n->out->m.rows;
    found_bwd_args a = {.fwd = arguments(s, n->in), .grad_o = n->out->grad};
    matrix *grad[INPUTS] = {&a.dvalue, &a.dlength, &a.dslope};
    tensor *p = tape_exact(t, rows, entries), *ds = tape_exact(t, rows, entries);
    for (int i = 0; i < INPUTS; i++) {
        float beta = 0;
        *grad[i] = tape_grad(t, n->in[i], &beta);
        if (grad[i]->data && beta == 0) tape_kernel(t, fill, .y = *grad[i]);
    }
    a.p = p->m;
    a.ds = ds->m;
    tape_kernel_args(t, found_bwd, &a);
    tape_drop(t, ds);
    tape_drop(t, p);
}

tensor *attend_found(tape *t, tensor *value, tensor *length, tensor *slope, const found_spec *s) {
    if (t->status) return &t->nothing;
    int64_t heads = length->m.rows, entries = s->next->m.rows;
    CHECK(s->places > 0 && s->places <= MOST_PLACES && entries % (heads * s->places) == 0 &&
              s->matched->m.rows == entries && s->octaves->m.rows == entries && slope->m.cols == heads,
          "%lld places of %lld heads, %lld entries, slopes of %lld", (long long)s->places, (long long)heads,
          (long long)entries, (long long)slope->m.cols);
    tensor *in[INPUTS] = {value, length, slope};
    tensor *o = tape_tensor(t, entries / (heads * s->places), heads * value->m.cols);
    found_args a = arguments(s, in);
    a.o = o->m;
    tape_kernel_args(t, found_fwd, &a);
    node *n = tape_record(t, found_backward, o, in, INPUTS, sizeof *s);
    if (n) memcpy(n->saved, s, sizeof *s);
    return o;
}
