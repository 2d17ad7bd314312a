#include "gen/timeline.h"

#include <string.h>

enum { FILL_PIECE = 4096 }; /* inputs whose keys and values are computed at once */

/* Empties the caches; the window begins behind the tokens that it has dropped. */
static void begin_again(timeline *w) {
    model_cache_reset(w->cache);
    w->cache->first = w->cache->final = model_place(w->m, w->dropped, w->count, 0);
    w->seen = 0;
}

/* A document that stood in the middle of the context, and outgrows it, is numbered from 0 from now on. */
static void move_front(timeline *w) {
    bool moves = w->m->config.positions.middle > 0 && w->cache->first + w->count > w->context;
    if (moves && w->cache->first != model_place(w->m, w->dropped, w->count, 0)) begin_again(w);
}

int timeline_open(timeline *w, model *m, int window, int64_t latents, int64_t first, pcv_error *err) {
    const model_config *c = &m->config;
    *w = (timeline){.m = m, .window = window, .context = c->context};
    int64_t group = c->latents_per_position;
    w->latents = (latents ? latents : c->latents) / group;
    w->first = first ? first / group : w->latents / 2;
    w->remembers = c->architecture == ARCH_XL;
    if (w->remembers) w->context = c->memory + 2 * c->context; /* a segment leaves when two are behind the memory */
    if (!model_has_latents(c)) w->first = w->latents = w->context; /* all that is read runs through the layers */
    if (w->first < 1) w->first = 1;
    int status = 0;
    if (w->latents < 1 || w->latents > w->context)
        return fail(err, PCV_CONFIG, "--latents: %lld is out of range, expected %lld to the context of %lld",
                    (long long)latents, (long long)group, (long long)w->context);
    if (c->query == QUERY_LEARNED && latents > c->latents)
        return fail(err, PCV_CONFIG, "--latents: %lld, but this model learned a query for each of %lld",
                    (long long)latents, (long long)c->latents);
    TRY(mem_get(&w->ids, (size_t)(w->context + 1) * sizeof *w->ids, "a timeline", err));
    TRY(mem_get(&w->logits, (size_t)c->vocab_size * sizeof *w->logits, "logits", err));
    TRY(tape_init(&w->t, m->be, 0, err));
    /* slide drops from the front: room for another N before the rest is moved */
    int64_t room = w->latents < w->context ? 2 * w->latents : w->context;
    TRY(model_cache_open(&w->cache, m, w->context, room * group, err));
    begin_again(w);
out:
    if (status) timeline_close(w);
    return status;
}

void timeline_close(timeline *w) {
    if (!w->m) return;
    model_cache_close(w->cache, w->m);
    tape_free(&w->t);
    mem_free(w->ids);
    mem_free(w->logits);
    *w = (timeline){0};
}

void timeline_reset(timeline *w) {
    w->count = w->dropped = 0;
    w->ready = false;
    begin_again(w);
}

int64_t timeline_latents(const timeline *w) {
    const model_cache *c = w->cache;
    if (c->layers == 0) return 1;
    return (c->layer[0].count - c->layer_begin) / w->m->config.latents_per_position;
}

/* ------------------------------------------------------------------ passes */

/* Runs the tokens [from, to) of the window; the last `latents` of them become new latents. */
static int run(timeline *w, int64_t from, int64_t to, int64_t latents, pcv_error *err) {
    tape_reset(&w->t);
    sequence row = {.ids = w->ids + from, .length = to - from, .behind = w->count - to};
    row.before = w->cache->first + from;
    model_input in = {.batch = 1, .rows = &row, .latents = latents * w->m->config.latents_per_position,
                      .cache = w->cache};
    tensor *hidden = model_hidden(&w->t, w->m, &in);
    if (latents) {
        tensor *last = tape_rows(&w->t, hidden, hidden->m.rows - 1, 1);
        tape_read(&w->t, model_logits(&w->t, w->m, last), w->logits);
    }
    bool as_prefix = w->m->config.latent_kv_norm != KV_NORM_QUERY;
    int64_t valid = as_prefix ? to : to - latents;
    if (w->cache->first + valid > w->cache->final) w->cache->final = w->cache->first + valid;
    if (w->t.status) return fail(err, PCV_MEMORY, "not enough memory to generate; lower --latents");
    return 0;
}

/* A model that remembers runs every token once, in order: those that its caches lack. */
static int advance(timeline *w, pcv_error *err) {
    const model_cache *c = w->cache;
    int64_t held = c->layers ? c->layer[0].count : w->seen;
    return held < w->count ? run(w, held, w->count, w->count - held, err) : 0;
}

/* Its oldest segment leaves, and later tokens keep what they learned from it. */
static int forget_segment(timeline *w, pcv_error *err) {
    int64_t gone = w->m->config.context;
    int status = advance(w, err);
    if (status) return status;
    for (int64_t l = 0; l < w->cache->layers; l++) kv_cache_shift(&w->cache->layer[l], w->m->be, gone);
    memmove(w->ids, w->ids + gone, (size_t)(w->count - gone) * sizeof *w->ids);
    w->cache->first += gone;
    w->count -= gone;
    w->dropped += gone;
    w->seen = w->count;
    return 0;
}

/* Keys and values of all inputs before `until`, piece by piece. */
static int fill(timeline *w, int64_t until, pcv_error *err) {
    int status = 0;
    for (int64_t at; !status && (at = w->cache->final - w->cache->first) < until;) {
        int64_t to = until - at < FILL_PIECE ? until : at + FILL_PIECE;
        status = run(w, at, to, 0, err);
    }
    return status;
}

/* Starts the latents again: the last `latents` positions, in one pass. */
static int restart(timeline *w, int64_t latents, pcv_error *err) {
    if (latents > w->count) latents = w->count;
    model_cache_reset_latents(w->cache);
    int status = fill(w, w->count - latents, err);
    return status ? status : run(w, w->count - latents, w->count, latents, err);
}

/* slide: the oldest latent is no longer seen; its room is used again after N more. */
static void drop_latent(timeline *w) {
    model_cache *c = w->cache;
    c->layer_begin += w->m->config.latents_per_position;
    if (c->layers == 0 || c->layer[0].count < c->layer[0].k.m.rows) return;
    for (int64_t l = 0; l < c->layers; l++) kv_cache_shift(&c->layer[l], w->m->be, c->layer_begin);
    c->layer_begin = 0;
}

/* One more token behind those that the caches hold. */
static int step(timeline *w, pcv_error *err) {
    int64_t held = timeline_latents(w);
    if (held + 1 > w->latents && w->window == PCV_SLIDE) drop_latent(w);
    else if (held + 1 > w->latents) return restart(w, w->latents / 2 ? w->latents / 2 : 1, err);
    return run(w, w->count - 1, w->count, 1, err);
}

/* ------------------------------------------------------------------ the window */

/* The oldest `gone` tokens leave. */
static void leave(timeline *w, int64_t gone) {
    bool absolute = w->m->config.positions.kind != POSITION_NONE;
    bool from_end = w->m->config.positions.origin >= ORIGIN_END;
    bool keep = w->cache->crosses && !absolute && !from_end && w->cache->final - w->cache->first > gone;
    memmove(w->ids, w->ids + gone, (size_t)(w->count - gone) * sizeof *w->ids);
    w->count -= gone;
    w->dropped += gone;
    w->seen = 0;
    model_cache_reset_latents(w->cache);
    if (!keep) {
        begin_again(w);
        return;
    }
    for (int64_t i = 0; i < w->cache->crosses; i++) kv_cache_shift(&w->cache->cross[i], w->m->be, gone);
    w->cache->first += gone;
}

int timeline_append(timeline *w, const int32_t *ids, size_t count, pcv_error *err) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= w->m->config.vocab_size)
            return fail(err, PCV_DATA, "token %d is outside the vocabulary of %lld", ids[i],
                        (long long)w->m->config.vocab_size);
    w->ready = w->ready && count == 0;
    if (count > (size_t)w->context && !w->remembers) { /* only the end of a long prompt can matter */
        size_t skip = count - (size_t)w->context;
        w->dropped += w->count + (int64_t)skip;
        w->count = w->seen = 0;
        begin_again(w);
        ids += skip;
        count -= skip;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t half = w->window == PCV_EXACT || w->latents < 4 ? 1 : w->latents / 2;
        int64_t left = (int64_t)(count - i) > half ? (int64_t)(count - i) : half;
        int status = 0;
        if (w->count == w->context && w->remembers) status = forget_segment(w, err);
        else if (w->count == w->context) leave(w, left < w->count ? left : w->count);
        if (status) return status;
        w->ids[w->count++] = ids[i];
    }
    move_front(w);
    return 0;
}

int timeline_logits(timeline *w, const float **logits, pcv_error *err) {
    CHECK(w->count > 0, "logits of an empty timeline");
    int status = 0;
    if (!w->ready) {
        /* Two variants allow no cached latents: positions that change with every token, and queries
         * that belong to a latent's place among the others. */
        bool from_end = w->m->config.positions.origin >= ORIGIN_END;
        bool by_place = w->m->config.query == QUERY_LEARNED;
        if (from_end) model_cache_reset(w->cache);
        if (w->remembers) status = advance(w, err);
        else if (w->window == PCV_EXACT || from_end || by_place) status = restart(w, w->latents, err);
        else if (w->seen > 0 && w->count == w->seen + 1) status = step(w, err);
        else status = restart(w, w->first, err);
    }
    if (status) return status;
    w->seen = w->count;
    w->ready = true;
    *logits = w->logits;
    return 0;
}
