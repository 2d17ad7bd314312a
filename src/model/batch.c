/* The layout of a pass, array by array; each section below fills in some, and nothing reaches the device before
 * the last. Three numbers name an input: its place in its row, as the caller gave it; its index among the inputs
 * that are read, since prefix dropout leaves some out; and its row in the batch, M times the sequence plus that
 * index. -1 is "none" in all of them: padding, or a latent that a short row lacks. */
#include "model/batch.h"
#include "base/rng.h"

#include <string.h>

/* Loops over all inputs of large batches run on several threads: a device would wait for them. */
enum { MANY_INPUTS = 1 << 16, MANY_ENTRIES = 1 << 11 };
#define FOR_INPUTS(i, l)                                                                            \
    _Pragma("omp parallel for num_threads((l)->t->be->threads) if ((l)->B * (l)->M >= MANY_INPUTS)") \
    for (int64_t i = 0; i < (l)->B * (l)->M; i++)

static int32_t *numbers(layout *l, int64_t count) {
    return tape_host(l->t, (size_t)count * sizeof(int32_t));
}

static int32_t *undefined_numbers(layout *l, int64_t count) {
    return tape_host_undefined(l->t, (size_t)count * sizeof(int32_t));
}

/* Inputs of a row that belong to its sequence. */
static int64_t real_inputs(const sequence *s) { return s->length - s->padding; }

/* ------------------------------------------------------------------ which inputs are read */

static bool drops_prefix(const layout *l) {
    return l->t->training && l->m->config.prefix_dropout > 0 && !l->p->caches && l->p->see == SEE_CAUSAL;
}

/* Inputs at the front of a row that no latent is near enough to. What caches hold is the caller's to choose. */
static int64_t far_inputs(const layout *l, int64_t row) {
    const sequence *s = &l->p->rows[row];
    int64_t near = l->m->config.near, first = real_inputs(s) - l->U; /* latent */
    if (!near || l->p->caches || l->p->see != SEE_CAUSAL || first < near) return 0;
    return first - near + 1;
}

/* Inputs of a row that are read: all that are near, or a fixed part of what stands before the latents, and these. */
static int64_t kept_inputs(const layout *l, int64_t row) {
    int64_t length = l->p->rows[row].length - far_inputs(l, row), prefix = length - l->p->rows[row].padding - l->U;
    if (!drops_prefix(l) || prefix <= 0) return length;
    return length - (int64_t)((double)prefix * l->m->config.prefix_dropout);
}

/* Chooses the kept inputs of a row, each subset of the prefix with the same probability, in order
 * (selection sampling, Knuth vol. 2, 3.4.2 S). */
static void choose_inputs(layout *l, rng *random, int64_t row, int32_t *place) {
    int64_t far = far_inputs(l, row), length = l->p->rows[row].length - far, left = l->kept[row], at = 0;
    int64_t behind = l->p->rows[row].padding + l->U, prefix = length - behind, wanted = left - behind;
    for (int64_t i = 0; i < length && left == length; i++) place[at++] = (int32_t)(far + i); /* all */
    for (int64_t i = 0; i < length && left < length; i++) {
        bool chosen = i >= prefix;
        if (!chosen) chosen = rng_uniform(random) * (double)(prefix - i) < (double)wanted;
        if (!chosen) continue;
        if (i < prefix) wanted--;
        place[at++] = (int32_t)(far + i);
    }
    for (; at < l->M; at++) place[at] = -1;
}

static void read_inputs(layout *l) {
    rng random = rng_make(l->t->seed, RNG_PREFIX_DROPOUT, l->t->step);
    random.index = (uint64_t)l->p->draw << 32;
    l->kept = tape_host(l->t, (size_t)l->B * sizeof *l->kept);
    if (!l->kept) return;
    l->M = 1;
    for (int64_t r = 0; r < l->B; r++) {
        l->kept[r] = kept_inputs(l, r);
        if (l->kept[r] > l->M) l->M = l->kept[r];
    }
    l->place = numbers(l, l->B * l->M);
    l->ids = l->m->config.input_features ? NULL : numbers(l, l->B * l->M);
    if (l->t->status) return;
    for (int64_t r = 0; r < l->B; r++) choose_inputs(l, &random, r, l->place + r * l->M);
    if (!l->ids) return;
    FOR_INPUTS(i, l) l->ids[i] = l->place[i] < 0 ? -1 : l->p->rows[i / l->M].ids[l->place[i]];
}

/* The inputs that are vectors, padding zero: [B M, input_features]. */
static tensor *read_features(const layout *l) {
    int64_t F = l->m->config.input_features;
    if (!F) return NULL;
    float *values = tape_host(l->t, (size_t)(l->B * l->M * F) * sizeof *values);
    if (!values) return &l->t->nothing;
    for (int64_t i = 0; i < l->B * l->M; i++)
        if (l->place[i] >= 0)
            memcpy(values + i * F, l->p->rows[i / l->M].features + l->place[i] * F, (size_t)F * sizeof *values);
    return tape_floats(l->t, values, l->B * l->M, F);
}

/* ------------------------------------------------------------------ where latents stand */

static void place_latents(layout *l) {
    l->step = numbers(l, l->B * l->U);
    l->latent_row = numbers(l, l->B * l->U);
    if (l->t->status) return;
    for (int64_t i = 0; i < l->B * l->U; i++) {
        int64_t r = i / l->U, step = l->kept[r] - l->p->rows[r].padding - l->U + i % l->U;
        l->step[i] = (int32_t)(step < 0 ? -1 : step);
        l->latent_row[i] = (int32_t)(step < 0 ? -1 : r * l->M + step);
    }
    int64_t group = l->m->config.latents_per_position;
    if (group == 1) return;
    l->expand = numbers(l, l->B * l->N);
    l->slot = numbers(l, l->B * l->N);
    if (l->t->status) return;
    for (int64_t i = 0; i < l->B * l->N; i++) {
        l->expand[i] = (int32_t)(i / group);
        l->slot[i] = (int32_t)(i % group);
    }
}

static void mark_latents(layout *l) {
    if (l->m->config.latent_kv_norm != KV_NORM_QUERY) return;
    l->is_latent = numbers(l, l->B * l->M);
    if (l->t->status) return;
    for (int64_t i = 0; i < l->B * l->U; i++)
        if (l->step[i] >= 0) l->is_latent[i / l->U * l->M + l->step[i]] = 1;
}

/* Read index that latent i starts from, -1: none. */
static int64_t step_of(const layout *l, int64_t i) { return l->step[i / l->N * l->U + i % l->N * l->U / l->N]; }

/* ------------------------------------------------------------------ positions */

/* Number of input `place` of a row, by the model's origin; the kinds with an end count from the row's. */
static int32_t number_of(const layout *l, int64_t row, int64_t place) {
    const sequence *s = &l->p->rows[row];
    int64_t index = s->before + place, outside = s->before + s->behind;
    int64_t valid = outside + real_inputs(s), T = outside + s->length;
    position_origin origin = (position_origin)l->m->config.positions.origin;
    switch (origin) {
    case ORIGIN_ONE: return (int32_t)(index + 1);
    case ORIGIN_END:
    case ORIGIN_NEGATIVE_END: {
        int64_t distance = T - 1 - ((index - valid) % T + T) % T; /* valid - 1 - index on real inputs */
        return (int32_t)(origin == ORIGIN_END ? distance : -distance);
    }
    default: return (int32_t)index;
    }
}

/* Positions of an input on all axes: given with the row, or by the map of the data, or its number. */
static void find_positions(const layout *l, int64_t row, int64_t place, int64_t axes, int32_t *at) {
    const model_config *c = &l->m->config;
    const position_map *map = &l->m->positions;
    const sequence *s = &l->p->rows[row];
    if (map->at) map->at(map->context, s->before + place, at);
    for (int64_t a = 0; a < axes; a++) {
        if (s->positions[a]) at[a] = s->positions[a][place];
        else if (!map->at) at[a] = number_of(l, row, place);
        /* steps that are only timed have no map */
        if (c->positions.origin == ORIGIN_DATA) at[a] %= (int32_t)c->positions.axes.v[a];
    }
}

static void place_on_axes(layout *l) {
    const model_config *c = &l->m->config;
    int64_t axes = c->positions.kind == POSITION_NONE ? 0 : c->positions.axes.count;
    for (int64_t a = 0; a < axes; a++) l->axis[a] = numbers(l, l->B * l->M);
    if (l->t->status) return;
    if (!axes) return;
    FOR_INPUTS(i, l) {
        int32_t at[POSITION_AXES] = {0};
        if (l->place[i] >= 0) find_positions(l, i / l->M, l->place[i], axes, at);
        for (int64_t a = 0; a < axes; a++) l->axis[a][i] = at[a];
    }
}

/* What rotary positions turn by: the first axis where it is given with the rows, else numbers. */
static void number_positions(layout *l) {
    const model_config *c = &l->m->config;
    if (!model_has_rotary(c)) return;
    l->rope = numbers(l, l->B * l->M);
    l->latent_rope = numbers(l, l->B * l->N);
    if (l->t->status) return;
    FOR_INPUTS(i, l) {
        const int32_t *given = l->p->rows[i / l->M].positions[0];
        if (l->place[i] < 0) l->rope[i] = 0;
        else l->rope[i] = given ? given[l->place[i]] : number_of(l, i / l->M, l->place[i]);
    }
    for (int64_t i = 0; i < l->B * l->N; i++) {
        int64_t step = step_of(l, i);
        int32_t here = l->rope[i / l->N * l->M + (step < 0 ? l->M - 1 : step)];
        l->latent_rope[i] = here + (int32_t)c->positions.rotary.query_offset;
    }
}

/* ------------------------------------------------------------------ who sees whom */

/* The first input that a latent near them all sees, by its read index, or, with caches, by its row in them. */
static int64_t nearest_begin(const layout *l, int64_t row, int64_t step) {
    int64_t near = l->m->config.near, low = 0, high = step;
    const int32_t *place = l->place + row * l->M;
    if (!near || l->p->see != SEE_CAUSAL || step < 0) return 0;
    if (l->p->caches) {
        int64_t begin = l->p->rows[row].before - l->p->caches[row]->first + step - near + 1;
        return begin > 0 ? begin : 0;
    }
    while (low < high) { /* the places of read inputs grow */
        int64_t middle = (low + high) / 2;
        if (place[middle] > place[step] - near) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* The inputs that a latent sees: up to its own, or those of the whole row, or as the caller says. */
static void see_inputs(layout *l) {
    const pass *p = l->p;
    l->cross_begin = numbers(l, l->B * l->N);
    l->cross_end = numbers(l, l->B * l->N);
    if (l->t->status) return;
    for (int64_t i = 0; i < l->B * l->N; i++) {
        int64_t step = step_of(l, i), row = i / l->N;
        int64_t cached = p->caches ? p->rows[row].before - p->caches[row]->first : 0;
        int64_t end = p->see == SEE_ALL ? l->kept[row] - p->rows[row].padding : step < 0 ? 0 : cached + step + 1;
        l->cross_begin[i] = p->see == SEE_RANGES ? p->begin[i] : (int32_t)nearest_begin(l, row, step);
        l->cross_end[i] = p->see == SEE_RANGES ? p->end[i] : (int32_t)end;
    }
}

/* Which latents the others do not see in this step. */
static void hide_latents(layout *l) {
    double dropped = l->m->config.latent_dropout;
    if (!l->t->training || dropped == 0 || l->p->caches) return;
    rng random = rng_make(l->t->seed, RNG_LATENT_DROPOUT, l->t->step);
    random.index = (uint64_t)l->p->draw << 32;
    l->hidden = numbers(l, l->B * l->N);
    if (l->t->status) return;
    for (int64_t i = 0; i < l->B * l->N; i++) l->hidden[i] = rng_uniform(&random) < dropped;
}

/* A latent sees the latents of its own and earlier positions; one without input sees itself. */
static void see_earlier_latents(layout *l) {
    int64_t group = l->m->config.latents_per_position;
    for (int64_t r = 0; r < l->B; r++) {
        int64_t missing = 0;
        while (missing < l->U && l->step[r * l->U + missing] < 0) missing++;
        for (int64_t n = 0; n < l->N; n++) {
            bool absent = n / group < missing;
            l->self_begin[r * l->N + n] = (int32_t)(absent ? n : missing * group);
            l->self_end[r * l->N + n] = (int32_t)(absent ? n + 1 : (n / group + 1) * group);
        }
    }
    for (int64_t i = 0; i < l->B * l->N && l->p->caches; i++) {
        const model_cache *cache = l->p->caches[i / l->N];
        l->self_begin[i] = (int32_t)cache->latents_begin;
        l->self_end[i] += (int32_t)cache->latents;
    }
}

static void see_latents(layout *l) {
    l->self_begin = numbers(l, l->B * l->N);
    l->self_end = numbers(l, l->B * l->N);
    if (l->t->status) return;
    if (l->p->see != SEE_ALL) see_earlier_latents(l);
    for (int64_t i = 0; i < l->B * l->N && l->p->see == SEE_ALL; i++) l->self_end[i] = (int32_t)l->N;
    /* Where more latents stand side by side than in training, the layers still see distances that they
     * know: reaches add up over the layers instead. */
    int32_t reach = (int32_t)l->m->config.self_reach;
    for (int64_t i = 0; i < l->B * l->N && reach && l->p->see != SEE_ALL; i++)
        if (l->self_begin[i] < l->self_end[i] - reach) l->self_begin[i] = l->self_end[i] - reach;
    hide_latents(l);
}

/* ------------------------------------------------------------------ where the same tokens stood before */

int64_t segment_place(const pass *p, int64_t row, int64_t n) { return p->caches ? p->rows[row].before + n : n; }

int64_t segment_reach(const model *m, int64_t place) {
    return m->type->remembers ? place % m->config.context + m->config.memory : INT64_MAX;
}

/* The index of a row that brings none: of all its inputs, whether they are read or not, and of what is known before. */
static void index_row(const layout *l, int64_t row, ngram_index *x) {
    const sequence *s = &l->p->rows[row];
    const field_ints *orders = &l->m->config.index.orders;
    int64_t inputs = real_inputs(s), asked = l->U < inputs ? l->U : inputs, tokens = s->known + inputs;
    void *memory = tape_host_undefined(l->t, ngram_index_bytes((int)orders->count, tokens, asked));
    if (!memory || l->t->planning) return;
    ngram_index_init(x, orders->v, (int)orders->count, tokens, asked, memory);
    ngram_index_append(x, s->ids - s->known, tokens, l->t->be->threads);
}

/* The input of the row that position i starts from, negative: none. Rows of a model that remembers begin side by side,
 * those of others end so. */
static int64_t input_of(const layout *l, int64_t i) {
    int64_t row = i / l->U, n = i % l->U;
    if (l->m->type->remembers) return n < real_inputs(&l->p->rows[row]) ? n : -1;
    return l->step[i] < 0 ? -1 : l->place[row * l->M + l->step[i]];
}

/* The entries of latent position i, whose input is token indexed + input_of of the index. */
static void find_matches(const layout *l, int64_t i, const ngram_index *x, int64_t indexed) {
    int64_t P = l->m->config.index.places, orders = l->m->config.index.orders.count, input = input_of(l, i);
    int64_t place = indexed + input, reach = segment_reach(l->m, segment_place(l->p, i / l->U, input));
    int64_t begin = reach < place ? place - reach : 0;
    for (int64_t o = 0; o < orders; o++) {
        ngram_match match[MOST_PLACES];
        int64_t first = (i * orders + o) * P;
        int count = input < 0 ? 0 : ngram_index_find(x, (int)o, place, begin, (int)P, match);
        for (int k = 0; k < P; k++) {
            l->next[first + k] = k < count ? x->ids[match[k].place + 1] : -1;
            l->matched[first + k] = k < count ? match_class(match[k].length) : 0;
            l->octaves[first + k] = k < count ? match_octaves(place - match[k].place) : 0;
        }
    }
}

static void look_up(layout *l) {
    int64_t orders = l->m->config.index.orders.count, entries = l->B * l->U * orders * l->m->config.index.places;
    if (!orders) return;
    ngram_index *made = tape_host(l->t, (size_t)l->B * sizeof *made);
    l->next = undefined_numbers(l, entries);
    l->matched = undefined_numbers(l, entries);
    l->octaves = undefined_numbers(l, entries);
    for (int64_t r = 0; r < l->B && !l->t->status; r++)
        if (!l->p->rows[r].index) index_row(l, r, &made[r]);
    if (l->t->status || l->t->planning) return;
#pragma omp parallel for num_threads(l->t->be->threads) if (entries >= MANY_ENTRIES)
    for (int64_t i = 0; i < l->B * l->U; i++) {
        const sequence *s = &l->p->rows[i / l->U];
        find_matches(l, i, s->index ? s->index : &made[i / l->U], s->index ? s->indexed : s->known);
    }
}

/* ------------------------------------------------------------------ what is kept */

/* Where new keys and values go: those of the inputs that have none yet, and of all latents. */
static void find_places(layout *l) {
    const pass *p = l->p;
    if (!p->caches) return;
    const model_slab *slab = p->caches[0]->slab;
    l->slots = numbers(l, l->B);
    l->cross_put = numbers(l, l->B * l->M);
    l->layer_put = numbers(l, l->B * l->N);
    if (l->t->status) return;
    for (int64_t r = 0; r < l->B; r++) {
        const model_cache *c = p->caches[r];
        int64_t input = c->slot * slab->context + p->rows[r].before - c->first;
        int64_t latent = c->slot * slab->latents + c->latents;
        l->slots[r] = (int32_t)c->slot;
        for (int64_t i = 0; i < l->M; i++) l->cross_put[r * l->M + i] = (int32_t)(input + i);
        for (int64_t n = 0; n < l->N; n++) l->layer_put[r * l->N + n] = (int32_t)(latent + n);
    }
}

/* Inputs of the row in front of this one have keys and values already. */
static int64_t fresh_from(const pass *p) {
    int64_t from = p->caches ? p->caches[0]->final - p->rows[0].before : 0;
    return from > 0 ? from : 0;
}

/* ------------------------------------------------------------------ what is to come out */

/* Output u of row r stands on input length - outputs + u, and its target is what follows there, if that counts. */
static void find_targets(layout *l, pass *p) {
    int64_t U = p->latents / l->m->config.latents_per_position;
    bool any = false;
    p->positions = p->pooled ? 1 : U;
    for (int64_t r = 0; r < l->B; r++) any |= p->rows[r].next != NULL;
    if (!any) return;
    l->target = numbers(l, l->B * p->positions);
    if (l->t->status) return;
    for (int64_t i = 0; i < l->B * p->positions; i++) {
        const sequence *s = &p->rows[i / p->positions];
        int64_t inputs = real_inputs(s), at = inputs - p->positions + i % p->positions;
        l->target[i] = s->next && at >= 0 && at >= inputs - s->scored ? s->next[at] : -1;
    }
    p->target = l->target;
}

/* ------------------------------------------------------------------ to the device */

static void upload(layout *l, batch *b, tensor **targets, int64_t outputs) {
    int64_t inputs = l->B * l->M, latents = l->B * l->N, positions = l->B * l->U;
    int64_t entries = positions * l->m->config.index.orders.count * l->m->config.index.places;
    int_array list[] = {
        {&b->ids, l->ids, inputs},
        {&b->axis[0], l->axis[0], inputs},
        {&b->axis[1], l->axis[1], inputs},
        {&b->axis[2], l->axis[2], inputs},
        {&b->axis[3], l->axis[3], inputs},
        {&b->rope, l->rope, inputs},
        {&b->latent_rope, l->latent_rope, latents},
        {&b->latent_row, l->latent_row, positions},
        {&b->expand, l->expand, latents},
        {&b->slot, l->slot, latents},
        {&b->is_latent, l->is_latent, inputs},
        {&b->blind, l->blind, latents},
        {&b->cross.begin, l->cross_begin, latents},
        {&b->cross.end, l->cross_end, latents},
        {&b->self.begin, l->self_begin, latents},
        {&b->self.end, l->self_end, latents},
        {&b->self.hidden, l->hidden, latents},
        {&b->cross.slots, l->slots, l->B},
        {&b->cross_put, l->cross_put, inputs},
        {&b->layer_put, l->layer_put, latents},
        {&b->found.next, l->next, entries},
        {&b->found.matched, l->matched, entries},
        {&b->found.octaves, l->octaves, entries},
        {targets, l->target, outputs},
    };
    tape_int_arrays(l->t, list, sizeof list / sizeof *list);
    b->features = read_features(l);
    b->cross.batch = b->self.batch = l->B;
    b->self.slots = b->cross.slots;
    b->found.places = l->m->config.index.places;
    b->found.parts = OCTAVE;
    if (l->p->caches) b->cross.keys = l->p->caches[0]->slab->context;
    if (l->p->caches) b->self.keys = l->p->caches[0]->slab->latents;
}

static void check(const model *m, const pass *p, int64_t latents) {
    CHECK(p->batch > 0 && latents % m->config.latents_per_position == 0, "%lld rows, %lld latents, %lld per position",
          (long long)p->batch, (long long)latents, (long long)m->config.latents_per_position);
    for (int64_t r = 0; r < p->batch && p->caches; r++) {
        const model_cache *c = p->caches[r];
        int64_t held = p->rows[r].before + p->rows[r].length - c->first;
        CHECK(p->see == SEE_CAUSAL && !p->adjust && c->slab == p->caches[0]->slab &&
                  p->rows[r].length == p->rows[0].length &&
                  p->rows[r].length * m->config.latents_per_position >= latents,
              "rows of %lld and %lld inputs go on", (long long)p->rows[0].length, (long long)p->rows[r].length);
        CHECK(p->rows[r].before <= c->first + c->inputs && (!c->slab->crosses || held <= c->slab->context) &&
                  c->latents + latents <= c->slab->latents && (p->batch == 1 || c->final <= p->rows[r].before),
              "%lld inputs and %lld latents in a slot of %lld and %lld", (long long)held,
              (long long)(c->latents + latents), (long long)c->slab->context, (long long)c->slab->latents);
    }
    for (int64_t r = 0; r < p->batch; r++)
        CHECK(m->config.input_features ? p->rows[r].features != NULL : p->rows[r].ids != NULL || !p->rows[r].length,
              "row %lld has no inputs of the model's kind", (long long)r);
}

int batch_make(batch *out, tape *t, const model *m, pass *p, int64_t latents) {
    check(m, p, latents);
    layout l = {.m = m, .p = p, .t = t, .B = p->batch, .N = latents, .U = latents / m->config.latents_per_position};
    read_inputs(&l);
    place_latents(&l);
    mark_latents(&l);
    place_on_axes(&l);
    number_positions(&l);
    see_inputs(&l);
    see_latents(&l);
    look_up(&l);
    find_places(&l);
    find_targets(&l, p);
    if (p->adjust && !t->status) p->adjust(&l);
    p->layer_rows = latents;
    *out = (batch){.B = l.B, .M = l.M, .N = l.N, .U = l.U, .fresh = fresh_from(p)};
    if (!t->status && l.place[0] > 0) out->first = l.place[0];
    upload(&l, out, &p->targets, p->batch * p->positions);
    return t->status;
}
