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
    return c->positions.kind == POSITION_NONE && !counts_from_end(w) && w->cache->slab->crosses;
}

/* Number of the window's first token. */
static int64_t place(const timeline *w) { return w->remembers ? 0 : model_place(w->m, w->dropped, w->count, 0); }

/* Empties the caches; the window begins behind the tokens that it has dropped. */
static void begin_again(timeline *w) {
    model_cache_reset(w->cache);
    w->cache->first = w->cache->final = place(w);
    w->seen = 0;
}

int decoder_open(decoder *d, model *m, pcv_error *err) {
    *d = (decoder){.m = m};
    int status = tape_init(&d->t, m->be, 0, err);
    if (!status) status = model_slab_open(&d->slab, m, err);
    if (status) decoder_close(d);
    return status;
}

void decoder_close(decoder *d) {
    if (!d->m) return;
    model_slab_close(d->slab);
    tape_free(&d->t);
    *d = (decoder){0};
}

/* What follows from the model and what is asked for; nothing is taken yet. */
static int find_shape(timeline *w, model *m, int window, int64_t latents, int64_t first, pcv_error *err) {
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
    if (w->latents < 1 || w->latents > w->context)
        return fail(err, PCV_CONFIG, "--latents: %lld is out of range, expected %lld to the context of %lld",
                    (long long)latents, (long long)group, (long long)w->context);
    if (c->query == QUERY_LEARNED && latents > c->latents)
        return fail(err, PCV_CONFIG, "--latents: %lld, but this model learned a query for each of %lld",
                    (long long)latents, (long long)c->latents);
    return 0;
}

/* Rows of the layers' caches. Slide drops from the front: room for another N before the rest is moved. */
static int64_t layer_rows(const timeline *w) {
    return (w->latents < w->context ? 2 * w->latents : w->context) * w->m->config.latents_per_position;
}

int timeline_open(timeline *w, decoder *d, int window, int64_t latents, int64_t first, pcv_error *err) {
    int status = find_shape(w, d->m, window, latents, first, err);
    if (status) goto out;
    w->d = d;
    TRY(mem_get(&w->ids, (size_t)w->room * sizeof *w->ids, "a timeline", err));
    TRY(mem_get(&w->logits, (size_t)w->m->config.vocab_size * sizeof *w->logits, "logits", err));
    TRY(model_cache_open(&w->cache, d->slab, w->context, layer_rows(w), err));
    begin_again(w);
out:
    if (status) timeline_close(w);
    return status;
}

size_t timeline_bytes(model *m, int64_t latents) {
    timeline w;
    return find_shape(&w, m, PCV_REFILL, latents, 0, NULL) ? 0 : model_slab_bytes(m, w.context, layer_rows(&w));
}

void timeline_close(timeline *w) {
    if (!w->m) return;
    model_cache_close(w->cache);
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

/* Behind a pass over tokens up to `to` of the window: whose keys and values stay. */
static void passed(timeline *w, int64_t to, int64_t latents) {
    bool stays = !latents || !latents_differ(w);
    if (stays && w->cache->first + to > w->cache->final) w->cache->final = w->cache->first + to;
}

static sequence row_of(const timeline *w, int64_t from, int64_t to) {
    return (sequence){.ids = w->ids + from, .length = to - from, .before = w->cache->first + from,
                      .behind = w->count - to};
}

/* The logits behind the last position of each row go to its timeline. */
static void read_logits(timeline *const *w, int64_t count, tensor *hidden) {
    tape *t = &w[0]->d->t;
    int64_t V = w[0]->m->config.vocab_size;
    tensor *last = count == 1 ? tape_rows(t, hidden, hidden->m.rows - 1, 1) : hidden;
    float *logits = tape_host(t, (size_t)(count * V) * sizeof *logits);
    if (!logits) return;
    tape_read(t, model_logits(t, w[0]->m, last), logits);
    for (int64_t i = 0; i < count; i++) memcpy(w[i]->logits, logits + i * V, (size_t)V * sizeof *logits);
}

/* The end of a pass. Where it failed, what the caches hold is unknown. */
static int end_pass(timeline *const *w, int64_t count, pcv_error *err) {
    int status = tape_end(&w[0]->d->t, "to generate; lower --latents", err);
    for (int64_t i = 0; i < count && status; i++) begin_again(w[i]);
    return status;
}

/* Runs the tokens [from, to) of the window; the last `latents` of them become new latents. */
static int run(timeline *w, int64_t from, int64_t to, int64_t latents, pcv_error *err) {
    tape *t = &w->d->t;
    tape_begin(t);
    backend_pass_begin(w->m->be, PASS_WINDOW);
    sequence row = row_of(w, from, to);
    pass p = {.batch = 1, .rows = &row, .latents = latents * w->m->config.latents_per_position, .caches = &w->cache};
    tensor *hidden = model_hidden(t, w->m, &p);
    if (latents) read_logits(&w, 1, hidden);
    passed(w, to, latents);
    backend_pass_end(w->m->be, PASS_WINDOW, (double)(to - from));
    return end_pass(&w, 1, err);
}

/* Runs the last token of each timeline, as one more latent, in one pass. Its bits do not depend on the others. */
static int run_tokens(timeline *const *w, int64_t count, pcv_error *err) {
    model *m = w[0]->m;
    tape *t = &w[0]->d->t;
    tape_begin(t);
    backend_pass_begin(m->be, PASS_TOKEN);
    sequence *rows = tape_host(t, (size_t)count * sizeof *rows);
    model_cache **caches = tape_host(t, (size_t)count * sizeof *caches);
    for (int64_t i = 0; i < count && caches; i++) {
        rows[i] = row_of(w[i], w[i]->count - 1, w[i]->count);
        caches[i] = w[i]->cache;
    }
    pass p = {.batch = count, .rows = rows, .latents = m->config.latents_per_position, .caches = caches};
    t->by_row = true;
    if (caches) read_logits(w, count, model_hidden(t, m, &p));
    t->by_row = false;
    for (int64_t i = 0; i < count; i++) passed(w[i], w[i]->count, 1);
    backend_pass_end(m->be, PASS_TOKEN, (double)count);
    return end_pass(w, count, err);
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
    model_cache_drop_latents(w->cache, gone);
    model_cache_drop_inputs(w->cache, gone);
    memmove(w->ids, w->ids + gone, (size_t)(w->count - gone) * sizeof *w->ids);
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
    c->latents_begin += w->m->config.latents_per_position;
    w->held--;
    if (model_cache_has_room(c, w->m->config.latents_per_position)) return;
    model_cache_drop_latents(c, c->latents_begin);
    c->latents_begin = 0;
}

/* Is one more token behind those that the caches hold all that is missing? Then its latent has its place. */
static bool lacks_one_token(timeline *w) {
    if (w->count != w->seen + 1) return false;
    if (w->remembers) return true;
    bool full = w->held == w->latents;
    if (w->seen == 0 || w->window == PCV_EXACT || (full && w->window != PCV_SLIDE)) return false;
    if (full) drop_latent(w);
    w->held++;
    return true;
}

/* All else that may be missing. */
static int catch_up(timeline *w, pcv_error *err) {
    if (w->remembers) return advance(w, err);
    if (w->window == PCV_EXACT) return restart(w, w->latents, err);
    bool goes_on = w->seen > 0 && w->count == w->seen + 1; /* but the latents are full */
    return restart(w, !goes_on ? w->first : w->latents / 2 ? w->latents / 2 : 1, err);
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
    model_cache_drop_inputs(c, gone);
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

int timelines_logits(timeline *const *w, int64_t count, pcv_error *err) {
    timeline **one = NULL;
    int64_t tokens = 0;
    int status = mem_get(&one, (size_t)count * sizeof *one, "timelines", err);
    for (int64_t i = 0; i < count && !status; i++) {
        CHECK(w[i]->count > 0 && w[i]->d == w[0]->d, "logits of an empty timeline, or of another decoder's");
        if (w[i]->ready) continue;
        settle(w[i]);
        if (lacks_one_token(w[i])) one[tokens++] = w[i];
        else status = catch_up(w[i], err);
        w[i]->ready = !status;
        if (!status) w[i]->seen = w[i]->count;
    }
    if (!status && tokens) status = run_tokens(one, tokens, err);
    for (int64_t i = 0; i < tokens && status; i++) {
        one[i]->ready = false;
        begin_again(one[i]);
    }
    mem_free(one);
    return status;
}

int timeline_logits(timeline *w, const float **logits, pcv_error *err) {
    *logits = w->logits;
    return timelines_logits(&w, 1, err);
}

/* ------------------------------------------------------------------ other ends */

int64_t timeline_length(const timeline *w) { return w->dropped + w->count; }

bool timeline_truncate(timeline *w, int64_t length) {
    int64_t kept = length - w->dropped;
    model_cache *c = w->cache;
    if (length >= timeline_length(w)) return length == timeline_length(w);
    if (kept <= 0 && length > 0) return false;
    if (length == 0) {
        timeline_reset(w);
        return true;
    }
    w->count = kept;
    w->ready = false;
    w->held = 0;
    if (w->remembers) { /* what was learned stays; the last token runs once more, for its logits */
        if (w->seen > kept - 1) model_cache_keep(c, w->seen = kept - 1, kept - 1);
        c->final = c->first + w->seen;
        return true;
    }
    w->seen = 0;
    model_cache_keep(c, c->inputs < kept ? c->inputs : kept, c->latents);
    if (c->final > c->first + kept) c->final = c->first + kept;
    model_cache_reset_latents(c);
    return true;
}

void timeline_copy(timeline *to, const timeline *from) {
    CHECK(to->d == from->d && to->room == from->room && to->latents == from->latents, "timelines of two kinds");
    memcpy(to->ids, from->ids, (size_t)from->count * sizeof *to->ids);
    memcpy(to->logits, from->logits, (size_t)to->m->config.vocab_size * sizeof *to->logits);
    to->count = from->count;
    to->dropped = from->dropped;
    to->seen = from->seen;
    to->held = from->held;
    to->ready = from->ready;
    model_cache_copy(to->cache, from->cache);
}
