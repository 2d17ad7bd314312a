/* Embedding: y[r] = sum over tables of table_i[ids_i[r]], plus a harmonic code of the position.
 *
 * The harmonic code is the fixed sinusoidal table of Vaswani et al. 2017 (or Fourier features) without
 * the table: an angle p f splits into (p mod 256) f + (p div 256) 256 f, so two small tables of sines
 * and cosines and the addition theorems give every entry to within an ulp, where the published code
 * stores 134 million values for 131,072 positions.
 *
 * dL/dtable_i[v] = sum of dy[r] over the rows r with ids_i[r] = v. */
#include "ops/ops.h"

#include <string.h>

static embed_args arguments(const embed_spec *s, matrix y) {
    embed_args a = {.y = y, .tables = s->tables};
    for (int i = 0; i < s->tables; i++) {
        a.ids[i] = s->ids[i]->m;
        a.table[i] = s->table[i]->m;
    }
    if (s->positions) {
        a.positions = s->positions->m;
        a.low = s->low->m;
        a.high = s->high->m;
    }
    return a;
}

static void embed_backward(tape *t, const node *n) {
    const embed_spec *s = n->saved;
    embed_args a = arguments(s, n->out->grad);
    for (int i = 0; i < s->tables; i++) {
        float beta = 0;
        a.table[i] = tape_grad(t, s->table[i], &beta);
        if (a.table[i].data && beta == 0) tape_kernel(t, fill, .y = a.table[i]);
    }
    tape_kernel_args(t, embed_bwd, &a);
}

tensor *embed(tape *t, const embed_spec *s) {
    if (t->status) return &t->nothing;
    CHECK(s->tables <= EMBED_TABLES && (s->tables >= 1 || s->positions), "%d tables", s->tables);
    int64_t rows = s->tables ? s->ids[0]->m.rows : s->positions->m.rows;
    int64_t cols = s->tables ? s->table[0]->m.cols : s->low->m.cols;
    for (int i = 0; i < s->tables; i++)
        CHECK(s->ids[i]->m.rows == rows && s->table[i]->m.cols == cols, "table %d: %lld ids, %lld columns",
              i, (long long)s->ids[i]->m.rows, (long long)s->table[i]->m.cols);
    tensor *y = tape_tensor(t, rows, cols);
    embed_args a = arguments(s, y->m);
    tape_kernel_args(t, embed_fwd, &a);
    node *n = tape_record(t, embed_backward, y, s->table, s->tables, sizeof *s);
    if (n) memcpy(n->saved, s, sizeof *s);
    return y;
}
