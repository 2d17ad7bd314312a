#include "model/batch.h"
#include "base/rng.h"

#include <string.h>

/* Host arrays of a batch while it is put together; all from the tape's arena. */
typedef struct builder {
    const model_config *c;
    const position_map *map;
    const model_input *in;
    tape *t;
    batch *b;
    rng random;
    int64_t *kept;   /* [B] inputs of each row that are read */
    int32_t *place;  /* [B M] index of a read input in its row, -1: padding */
    int32_t *steps;  /* [B U] read index of a latent position, -1: none */
} builder;

static int32_t *numbers(tape *t, int64_t count) {
    return arena_get(&t->host, (size_t)count * sizeof(int32_t));
}

static int64_t valid_length(const builder *w, int64_t row) {
    return w->in->published_valid ? w->in->published_valid[row] : w->in->rows[row].length;
}

/* ------------------------------------------------------------------ which inputs are read */

static bool drops_prefix(const builder *w) {
    return w->t->training && w->c->prefix_dropout > 0 && !w->in->cache && !w->in->published_valid;
}

/* Inputs of a row that are read: all, or the latents and a fixed part of what stands before them. */
static int64_t kept_inputs(const builder *w, int64_t row) {
    int64_t length = w->in->rows[row].length, prefix = length - w->b->U;
    if (!drops_prefix(w) || prefix <= 0) return length;
    return length - (int64_t)((double)prefix * w->c->prefix_dropout);
}

/* Chooses the kept inputs of a row, each subset of the prefix with the same probability, in order
 * (selection sampling, Knuth vol. 2, 3.4.2 S). */
static void choose_inputs(builder *w, int64_t row, int32_t *place) {
    int64_t length = w->in->rows[row].length, left = w->kept[row], at = 0;
    int64_t prefix = length - w->b->U, wanted = left - w->b->U;
    for (int64_t i = 0; i < length; i++) {
        bool chosen = left == length || i >= prefix;
        if (!chosen) chosen = rng_uniform(&w->random) * (double)(prefix - i) < (double)wanted;
        if (!chosen) continue;
        if (i < prefix) wanted--;
        place[at++] = (int32_t)i;
    }
    for (; at < w->b->M; at++) place[at] = -1;
}

static void read_inputs(builder *w) {
    batch *b = w->b;
    w->kept = arena_get(&w->t->host, (size_t)b->B * sizeof *w->kept);
    b->M = 1;
    for (int64_t r = 0; r < b->B; r++) {
        w->kept[r] = kept_inputs(w, r);
        if (w->kept[r] > b->M) b->M = w->kept[r];
    }
    w->place = numbers(w->t, b->B * b->M);
    int32_t *ids = numbers(w->t, b->B * b->M);
    for (int64_t r = 0; r < b->B; r++) {
        int32_t *place = w->place + r * b->M;
        choose_inputs(w, r, place);
        for (int64_t m = 0; m < b->M; m++)
            ids[r * b->M + m] = place[m] < 0 ? -1 : w->in->rows[r].ids[place[m]];
    }
    b->ids = tape_ints(w->t, ids, b->B * b->M);
}

/* ------------------------------------------------------------------ where latents stand */

static void place_latents(builder *w) {
    batch *b = w->b;
    w->steps = numbers(w->t, b->B * b->U);
    int32_t *row = numbers(w->t, b->B * b->U);
    for (int64_t r = 0; r < b->B; r++) {
        int64_t dropped = w->in->rows[r].length - w->kept[r], valid = valid_length(w, r) - dropped;
        if (w->in->published_valid && b->N == 1) valid = b->M; /* one latent: the last slot, always */
        for (int64_t u = 0; u < b->U; u++) {
            int64_t step = valid - b->U + u, i = r * b->U + u;
            w->steps[i] = (int32_t)(step < 0 ? -1 : step);
            row[i] = (int32_t)(step < 0 ? -1 : r * b->M + step);
            if (step < 0 && w->in->published_valid) row[i] = (int32_t)(r * b->M + b->M - 1);
        }
    }
    b->latent_row = tape_ints(w->t, row, b->B * b->U);
    int64_t group = w->c->latents_per_position;
    if (group == 1) return;
    int32_t *expand = numbers(w->t, b->B * b->N), *slot = numbers(w->t, b->B * b->N);
    for (int64_t i = 0; i < b->B * b->N; i++) {
        expand[i] = (int32_t)(i / group);
        slot[i] = (int32_t)(i % group);
    }
    b->expand = tape_ints(w->t, expand, b->B * b->N);
    b->slot = tape_ints(w->t, slot, b->B * b->N);
}

static void mark_latents(builder *w) {
    batch *b = w->b;
    int32_t *mark = numbers(w->t, b->B * b->M);
    for (int64_t i = 0; i < b->B * b->U; i++)
        if (w->steps[i] >= 0) mark[i / b->U * b->M + w->steps[i]] = 1;
    b->is_latent = tape_ints(w->t, mark, b->B * b->M);
}

/* ------------------------------------------------------------------ positions */

/* Number of input `place` of a row, by the model's origin; the kinds with an end count from the row's. */
static int32_t number_of(const builder *w, int64_t row, int64_t place) {
    const sequence *s = &w->in->rows[row];
    int64_t index = s->before + place, outside = s->before + s->behind;
    int64_t valid = outside + valid_length(w, row), T = outside + s->length;
    switch (w->c->positions.origin) {
    case ORIGIN_ONE: return (int32_t)(index + 1);
    case ORIGIN_END:
    case ORIGIN_NEGATIVE_END: {
        int64_t distance = T - 1 - ((index - valid) % T + T) % T; /* valid - 1 - index on real inputs */
        return (int32_t)(w->c->positions.origin == ORIGIN_END ? distance : -distance);
    }
    default: return (int32_t)index;
    }
}

/* Positions of an input on all axes: given with the row, or by the map of the data, or its number. */
static void find_positions(const builder *w, int64_t row, int64_t place, int64_t axes, int32_t *at) {
    const sequence *s = &w->in->rows[row];
    if (w->map->at) w->map->at(w->map->context, s->before + place, at);
    for (int64_t a = 0; a < axes; a++) {
        if (s->positions[a]) at[a] = s->positions[a][place];
        else if (!w->map->at) at[a] = number_of(w, row, place);
        /* steps that are only timed have no map */
        if (w->c->positions.origin == ORIGIN_DATA) at[a] %= (int32_t)w->c->positions.axes.v[a];
    }
}

static void place_on_axes(const builder *w, int64_t axes) {
    batch *b = w->b;
    int32_t *p[POSITION_AXES] = {0};
    if (!axes) return;
    for (int64_t a = 0; a < axes; a++) p[a] = numbers(w->t, b->B * b->M);
    for (int64_t i = 0; i < b->B * b->M; i++) {
        int32_t at[POSITION_AXES] = {0};
        if (w->place[i] >= 0) find_positions(w, i / b->M, w->place[i], axes, at);
        for (int64_t a = 0; a < axes; a++) p[a][i] = at[a];
    }
    for (int64_t a = 0; a < axes; a++) b->axis[a] = tape_ints(w->t, p[a], b->B * b->M);
}

/* What rotary positions turn by: the first axis where it is given with the rows, else numbers. */
static int32_t *rotary_positions(const builder *w) {
    batch *b = w->b;
    int32_t *p = numbers(w->t, b->B * b->M);
    for (int64_t i = 0; i < b->B * b->M; i++) {
        const int32_t *given = w->in->rows[i / b->M].positions[0];
        if (w->place[i] < 0) p[i] = 0;
        else p[i] = given ? given[w->place[i]] : number_of(w, i / b->M, w->place[i]);
    }
    return p;
}

static void number_positions(builder *w) {
    batch *b = w->b;
    const model_config *c = w->c;
    place_on_axes(w, c->positions.kind == POSITION_NONE ? 0 : c->positions.axes.count);
    if (!model_has_rotary(c)) return;
    int32_t *p = rotary_positions(w), *q = numbers(w->t, b->B * b->N);
    for (int64_t i = 0; i < b->B * b->N; i++) {
        int64_t step = w->steps[i / b->N * b->U + i % b->N * b->U / b->N];
        int32_t here = p[i / b->N * b->M + (step < 0 ? b->M - 1 : step)];
        q[i] = here + (int32_t)c->positions.rotary.query_offset;
    }
    b->rope = tape_ints(w->t, p, b->B * b->M);
    b->latent_rope = tape_ints(w->t, q, b->B * b->N);
}

/* ------------------------------------------------------------------ who sees whom */

static attend_spec ranges(builder *w, int32_t *begin, int32_t *end) {
    int64_t rows = w->b->B * w->b->N;
    return (attend_spec){.batch = w->b->B, .begin = tape_ints(w->t, begin, rows),
                         .end = tape_ints(w->t, end, rows)};
}

/* A latent sees the inputs up to its own. */
static void see_inputs(builder *w) {
    batch *b = w->b;
    int32_t *begin = numbers(w->t, b->B * b->N), *end = numbers(w->t, b->B * b->N);
    int32_t *blind = numbers(w->t, b->B * b->N);
    int64_t cached = w->in->cache ? w->in->rows[0].before - w->in->cache->first : 0;
    bool published = w->in->published_valid != NULL;
    for (int64_t i = 0; i < b->B * b->N; i++) {
        int64_t u = i / b->N * b->U + i % b->N * b->U / b->N, step = w->steps[u];
        end[i] = (int32_t)(step < 0 ? 0 : cached + step + 1);
        blind[i] = published && step < 0 ? -1 : (int32_t)i;
        if (published && (step < 0 || b->N == 1)) end[i] = (int32_t)b->M;
    }
    b->cross = ranges(w, begin, end);
    if (published) b->blind = tape_ints(w->t, blind, b->B * b->N);
}

/* Which latents the others do not see in this step. */
static tensor *hide_latents(builder *w) {
    batch *b = w->b;
    double p = w->c->latent_dropout;
    if (!w->t->training || p == 0 || w->in->cache) return NULL;
    rng random = rng_make(w->t->seed, RNG_LATENT_DROPOUT, w->t->step);
    random.index = (uint64_t)w->in->draw << 32;
    int32_t *hidden = numbers(w->t, b->B * b->N);
    for (int64_t i = 0; i < b->B * b->N; i++) hidden[i] = rng_uniform(&random) < p;
    return tape_ints(w->t, hidden, b->B * b->N);
}

/* A latent sees the latents of its own and earlier positions; one without input sees itself. */
static void see_latents(builder *w) {
    batch *b = w->b;
    int64_t group = w->c->latents_per_position;
    int32_t *begin = numbers(w->t, b->B * b->N), *end = numbers(w->t, b->B * b->N);
    for (int64_t r = 0; r < b->B; r++) {
        int64_t missing = 0;
        while (missing < b->U && w->steps[r * b->U + missing] < 0) missing++;
        for (int64_t n = 0; n < b->N; n++) {
            bool absent = n / group < missing;
            begin[r * b->N + n] = (int32_t)(absent ? n : missing * group);
            end[r * b->N + n] = (int32_t)(absent ? n + 1 : (n / group + 1) * group);
        }
    }
    /* Where more latents stand side by side than in training, the layers still see distances that they
     * know: reaches add up over the layers instead. */
    int32_t reach = (int32_t)w->c->self_reach;
    const model_cache *cache = w->in->cache;
    int32_t held = cache && cache->layers ? (int32_t)cache->layer[0].count : 0;
    for (int64_t n = 0; n < b->N && cache; n++) {
        begin[n] = (int32_t)cache->layer_begin;
        end[n] += held;
    }
    for (int64_t i = 0; i < b->B * b->N && reach; i++)
        if (begin[i] < end[i] - reach) begin[i] = end[i] - reach;
    b->self = ranges(w, begin, end);
    b->self.hidden = hide_latents(w);
}

int batch_make(batch *out, tape *t, const model *m, const model_input *in) {
    const model_config *c = &m->config;
    *out = (batch){.B = in->batch, .N = in->latents, .U = in->latents / c->latents_per_position};
    CHECK(in->batch > 0 && out->U * c->latents_per_position == in->latents,
          "%lld rows, %lld latents, %lld per position", (long long)in->batch,
          (long long)in->latents, (long long)c->latents_per_position);
    CHECK(!in->cache || in->batch == 1, "a cache serves one row, not %lld", (long long)in->batch);
    builder w = {.c = c, .map = &m->positions, .in = in, .t = t, .b = out};
    w.random = rng_make(t->seed, RNG_PREFIX_DROPOUT, t->step);
    w.random.index = (uint64_t)in->draw << 32;
    read_inputs(&w);
    place_latents(&w);
    if (c->latent_kv_norm == KV_NORM_QUERY) mark_latents(&w);
    number_positions(&w);
    see_inputs(&w);
    see_latents(&w);
    return t->status;
}
