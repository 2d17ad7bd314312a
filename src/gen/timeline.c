#include "gen/timeline.h"

#include <string.h>

enum {
    FILL_PIECE = 4096,  /* inputs whose keys and values are computed at once */
    FARTHEST = 1 << 20, /* number of a position whose rotary angles are still exact enough in f32 */
};

static bool counts_from_end(const timeline *w) { return w->m->config.positions.origin >= ORIGIN_END; }

/* Do distances between positions matter alone, so that inputs may have any numbers? (A model without a
 * cross-attention keeps nothing of its inputs, and may see blocks of them.) */
static bool any_number(const timeline *w) {
    const model_config *c = &w->m->config;
    return c->positions.kind == POSITION_NONE && !counts_from_end(w) && w->cache->crosses;
}

/* Number of the window's first token. */
static int64_t place(const timeline *w) { return w->remembers ? 0 : model_place(w->m, w->dropped, w->count, 0); }

/* Empties the caches; the window begins behind the tokens that it has dropped. */
static void begin_again(timeline *w) {
    model_cache_reset(w->cache);
    w->cache->first = w->cache->final = place(w);
    w->seen = 0;
}

int timeline_open(timeline *w, model *m, int window, int64_t latents, int64_t first, pcv_error *err) {
    const model_config *c = &m->config;
    *w = (timeline){.m = m, .window = window, .context = c->context};
    int64_t group = c->latents_per_position;
    w->latents = (latents ? latents : c->latents) / group;
    w->first = first ? first / group : w->latents / 2;
    w->remembers = m->type->remembers;
    if (w->remembers) w->context = c->memory + 2 * c->context; /* a segment leaves when two are behind the memory */
    w->room = w->remembers ? w->context : 2 * w->context + 1;
    if (counts_from_end(w) || c->query == QUERY_LEARNED) w->window = PCV_EXACT;
    if (!m->type->has_latents) w->first = w->latents = w->context; /* all that is read runs through the layers */
    if (w->first < 1) w->first = 1;
    int status = 0;
    if (w->latents < 1 || w->latents > w->context)
        return fail(err, PCV_CONFIG, "--latents: %lld is out of range, expected %lld to the context of %lld",
                    (long long)latents, (long long)group, (long long)w->context);
    if (c->query == QUERY_LEARNED && latents > c->latents)
        return fail(err, PCV_CONFIG, "--latents: %lld, but this model learned a query for each of %lld",
                    (long long)latents, (long long)c->latents);
    TRY(mem_get(&w->ids, (size_t)w->room * sizeof *w->ids, "a timeline", err));
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
    w->count = w->dropped = w->held = 0;
    w->ready = false;
    begin_again(w);
}

int64_t timeline_latents(const timeline *w) { return w->held; }

/* ------------------------------------------------------------------ passes */

/* Are a latent's own keys and values other than those of the same input in the prefix? */
static bool latents_differ(const timeline *w) { return w->m->config.latent_kv_norm == KV_NORM_QUERY; }

/* Runs the tokens [from, to) of the window; the last `latents` of them become new latents. */
static int run(timeline *w, int64_t from, int64_t to, int64_t latents, pcv_error *err) {
    bool token = to - from == 1 && latents == 1;
    tape_begin(&w->t);
    if (token) backend_pass_begin(w->m->be, PASS_TOKEN);
    sequence row = {.ids = w->ids + from, .length = to - from, .behind = w->count - to};
    row.before = w->cache->first + from;
    pass p = {.batch = 1, .rows = &row, .latents = latents * w->m->config.latents_per_position, .cache = w->cache};
    tensor *hidden = model_hidden(&w->t, w->m, &p);
    if (latents) {
        tensor *last = tape_rows(&w->t, hidden, hidden->m.rows - 1, 1);
        tape_read(&w->t, model_logits(&w->t, w->m, last), w->logits);
    }
    if (token) backend_pass_end(w->m->be, PASS_TOKEN, 1);
    bool stays = !latents || !latents_differ(w);
    if (stays && w->cache->first + to > w->cache->final) w->cache->final = w->cache->first + to;
    return tape_end(&w->t, "to generate; lower --latents", err);
}

/* A model that remembers runs every token once, in order: those that its caches lack. */
static int advance(timeline *w, pcv_error *err) {
    int status = w->seen < w->count ? run(w, w->seen, w->count, w->count - w->seen, err) : 0;
    if (!status) w->seen = w->count;
    return status;
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
    model_cache *c = w->cache;
    if (latents > w->count) latents = w->count;
    int64_t prefix = w->count - latents;
    model_cache_reset_latents(c);
    if (latents_differ(w) && c->final > c->first + prefix) c->final = c->first + prefix;
    int status = fill(w, prefix, err);
    if (!status) status = run(w, prefix, w->count, latents, err);
    w->held = latents;
    return status;
}

/* slide: the oldest latent is no longer seen; its room is used again after N more. */
static void drop_latent(timeline *w) {
    model_cache *c = w->cache;
    c->layer_begin += w->m->config.latents_per_position;
    w->held--;
    if (c->layers == 0 || c->layer[0].count < c->layer[0].k.m.rows) return;
    for (int64_t l = 0; l < c->layers; l++) kv_cache_shift(&c->layer[l], w->m->be, c->layer_begin);
    c->layer_begin = 0;
}

/* One more token behind those that the caches hold. */
static int step(timeline *w, pcv_error *err) {
    bool full = w->held == w->latents;
    if (full && w->window != PCV_SLIDE) return restart(w, w->latents / 2 ? w->latents / 2 : 1, err);
    if (full) drop_latent(w);
    w->held++;
    return run(w, w->count - 1, w->count, 1, err);
}

/* ------------------------------------------------------------------ the window */

/* The oldest `gone` tokens leave. */
static void leave(timeline *w, int64_t gone) {
    model_cache *c = w->cache;
    bool keep = any_number(w) && c->final - c->first > gone && c->first < FARTHEST;
    memmove(w->ids, w->ids + gone, (size_t)(w->count - gone) * sizeof *w->ids);
    w->count -= gone;
    w->dropped += gone;
    w->seen = 0;
    if (!keep) {
        begin_again(w);
        return;
    }
    for (int64_t i = 0; i < c->crosses; i++) kv_cache_shift(&c->cross[i], w->m->be, gone);
    c->first += gone;
}

/* How many leave together, where not even more do not fit. */
static int64_t least_leave(const timeline *w) { return w->window == PCV_EXACT || w->latents < 4 ? 1 : w->latents / 2; }

/* The window holds at most the context, and its tokens have the numbers that belong to so many. */
static void settle(timeline *w) {
    int64_t excess = w->count - w->context, least = least_leave(w);
    if (w->remembers) return;
    if (excess > 0) leave(w, excess > least ? excess : least);
    bool moved = !any_number(w) && w->cache->first != place(w);
    if (moved || counts_from_end(w)) begin_again(w);
}

/* Room for more tokens. What leaves here would leave at the next request in any case, and so many more will that
 * the least number has no say. */
static int make_room(timeline *w, pcv_error *err) {
    if (w->remembers) return forget_segment(w, err);
    leave(w, w->count - w->context - least_leave(w));
    return 0;
}

int timeline_append(timeline *w, const int32_t *ids, size_t count, pcv_error *err) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= w->m->config.vocab_size)
            return fail(err, PCV_DATA, "token %d is outside the vocabulary of %lld", ids[i],
                        (long long)w->m->config.vocab_size);
    w->ready = w->ready && count == 0;
    for (size_t i = 0; i < count; i++) {
        int status = w->count == w->room ? make_room(w, err) : 0;
        if (status) return status;
        w->ids[w->count++] = ids[i];
    }
    return 0;
}

int timeline_logits(timeline *w, const float **logits, pcv_error *err) {
    CHECK(w->count > 0, "logits of an empty timeline");
    int status = 0;
    if (!w->ready) {
        settle(w);
        if (w->remembers) status = advance(w, err);
        else if (w->window == PCV_EXACT) status = restart(w, w->latents, err);
        else if (w->seen > 0 && w->count == w->seen + 1) status = step(w, err);
        else status = restart(w, w->first, err);
    }
    if (status) return status;
    w->seen = w->count;
    w->ready = true;
    *logits = w->logits;
    return 0;
}
