#include "model/index_look.h"
#include "base/mem.h"
#include "model/batch.h"

#include <math.h>

static float *read_weight(tape *t, const model *m, const char *name) {
    int i = parameters_find(&m->params, name);
    CHECK(i >= 0, "a model without %s", name);
    const tensor *w = &parameters_slice(&m->params, i).owner->t;
    float *values = tape_host(t, (size_t)(w->m.rows * w->m.cols) * sizeof *values);
    if (values) tape_read(t, w, values);
    return values;
}

void index_rules_read(index_rules *r, tape *t, const model *m) {
    *r = (index_rules){.m = m, .heads = m->config.index.orders.count, .places = m->config.index.places};
    if (!r->heads) return;
    r->length = read_weight(t, m, "index.length.weight");
    r->slope = read_weight(t, m, "index.slope.weight");
}

int index_of(const model *m, const int32_t *ids, int64_t count, int64_t asked, ngram_index *x, void **memory,
             pcv_error *err) {
    const field_ints *orders = &m->config.index.orders;
    int heads = (int)orders->count, status = mem_get(memory, ngram_index_bytes(heads, count, asked), "an index", err);
    if (status) return status;
    ngram_index_init(x, orders->v, heads, count, asked, *memory);
    ngram_index_append(x, ids, count, m->be->threads);
    return 0;
}

int index_look(const ngram_index *x, const index_rules *r, int head, int64_t place, index_place *found,
               double *nothing) {
    const float *length = r->length + head * MATCH_CLASSES;
    ngram_match match[MOST_PLACES];
    int64_t reach = segment_reach(r->m, place), begin = reach < place ? place - reach : 0;
    int count = ngram_index_find(x, head, place, begin, (int)r->places, match);
    double largest = (double)length[0], sum = 0;
    for (int i = 0; i < count; i++) {
        double octaves = (double)match_octaves(place - match[i].place) / OCTAVE;
        double score = (double)length[match_class(match[i].length)] - (double)r->slope[head] * octaves;
        found[i] = (index_place){match[i], score};
        largest = fmax(largest, score);
    }
    sum = *nothing = exp((double)length[0] - largest);
    for (int i = 0; i < count; i++) sum += found[i].probability = exp(found[i].probability - largest);
    for (int i = 0; i < count; i++) found[i].probability /= sum;
    *nothing /= sum;
    return count;
}
