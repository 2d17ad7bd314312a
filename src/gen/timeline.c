#include "gen/timeline.h"

#include <string.h>

enum {
    FILL_PIECE = 4096,  /* inputs whose keys and values are computed at once */
    FARTHEST = 1 << 20, /* number of a position whose rotary angles are still exact enough in f32 */
};

static bool counts_from_end(const timeline *line) { return line->m->config.positions.origin >= ORIGIN_END; }

/* Do distances between positions matter alone, so that inputs may have any numbers? (A model without a
 * cross-attention keeps nothing of its inputs, and may see blocks of them.) */
static bool any_number(const timeline *line) {
    const model_config *c = &line->m->config;
    return c->positions.kind == POSITION_NONE && !counts_from_end(line) && line->cache->slab->crosses;
}

/* The number that belongs to the view's first token. */
static int64_t place(const timeline *line) {
    return line->remembers ? 0 : model_place(line->m, line->dropped, line->count, 0);
}

/* Empties the caches; the view begins behind the tokens that it has dropped. */
static void begin_again(timeline *line) {
    model_cache_reset(line->cache);
    line->cache->first = line->cache->final = line->number = place(line);
    line->seen = 0;
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
static int find_shape(timeline *line, model *m, int policy, int64_t latents, int64_t first, pcv_error *err) {
    const model_config *c = &m->config;
    *line = (timeline){.m = m, .policy = policy, .context = c->context};
    int64_t group = c->latents_per_position;
    line->latents = (latents ? latents : c->latents) / group;
    line->first = first ? first / group : line->latents / 2;
    line->remembers = m->type->remembers;
    /* a segment leaves when two are behind the memory */
    if (line->remembers) line->context = c->memory + 2 * c->context;
    line->room = line->remembers ? line->context : 2 * line->context + 1;
    if (counts_from_end(line) || c->query == QUERY_LEARNED) line->policy = PCV_EXACT;
    if (!m->type->has_latents) line->first = line->latents = line->context; /* all runs through the layers */
    if (line->first < 1) line->first = 1;
    if (line->latents < 1 || line->latents > line->context)
        return fail(err, PCV_CONFIG, "--latents: %lld is out of range, expected %lld to the context of %lld",
                    (long long)latents, (long long)group, (long long)line->context);
    if (c->query == QUERY_LEARNED && latents > c->latents)
        return fail(err, PCV_CONFIG, "--latents: %lld, but this model learned a query for each of %lld",
                    (long long)latents, (long long)c->latents);
    return 0;
}

/* Rows of the layers' caches. Slide drops from the front: room for another N before the rest is moved. */
static int64_t layer_rows(const timeline *line) {
    return (line->latents < line->context ? 2 * line->latents : line->context) * line->m->config.latents_per_position;
}

/* Rows of the cross-attentions' caches: all inputs, or those near the latents, and room for as many before the rest is
 * moved. */
static int64_t cross_rows(const timeline *line) {
    int64_t near = line->m->config.near, rows = 2 * (near + line->latents);
    return near && rows < line->context ? rows : line->context;
}

static size_t index_bytes(const timeline *line) {
    int orders = (int)line->m->config.index.orders.count;
    return orders ? ngram_index_bytes(orders, line->room, line->room) : 0;
}

/* The index of the view's tokens, from their ids. */
static void index_view(timeline *line) {
    const field_ints *orders = &line->m->config.index.orders;
    ngram_index_init(&line->index, orders->v, (int)orders->count, line->room, line->room,
                     line->index_memory);
    ngram_index_append(&line->index, line->ids, line->count, line->m->be->threads);
}

static int open_index(timeline *line, pcv_error *err) {
    if (!line->m->config.index.orders.count) return 0;
    int status = mem_get(&line->index_memory, index_bytes(line), "an index of tokens", err);
    if (!status) index_view(line);
    return status;
}

/* The view's last `count` tokens are new. */
static void index_more(timeline *line, int64_t count) {
    ngram_index *x = &line->index;
    if (!line->index_memory) return;
    if (x->count + count > x->capacity) index_view(line);
    else ngram_index_append(x, line->ids + line->count - count, count, line->m->be->threads);
}

int timeline_open(timeline *line, decoder *d, int policy, int64_t latents, int64_t first, pcv_error *err) {
    int status = find_shape(line, d->m, policy, latents, first, err);
    if (status) goto out;
    line->d = d;
    TRY(mem_get(&line->ids, (size_t)line->room * sizeof *line->ids, "a timeline", err));
    TRY(mem_get(&line->logits, (size_t)line->m->config.vocab_size * sizeof *line->logits, "logits", err));
    TRY(open_index(line, err));
    TRY(model_cache_open(&line->cache, d->slab, cross_rows(line), layer_rows(line), err));
    begin_again(line);
out:
    if (status) timeline_close(line);
    return status;
}

size_t timeline_bytes(model *m, int64_t latents) {
    timeline line;
    if (find_shape(&line, m, PCV_REFILL, latents, 0, NULL)) return 0;
    return model_slab_bytes(m, cross_rows(&line), layer_rows(&line)) + index_bytes(&line);
}

void timeline_close(timeline *line) {
    if (!line->m) return;
    model_cache_close(line->cache);
    mem_free(line->ids);
    mem_free(line->index_memory);
    mem_free(line->logits);
    *line = (timeline){0};
}

void timeline_reset(timeline *line) {
    line->count = line->dropped = line->held = 0;
    line->ready = false;
    if (line->index_memory) index_view(line);
    begin_again(line);
}

int64_t timeline_latents(const timeline *line) { return line->held; }

/* ------------------------------------------------------------------ passes */

/* Are a latent's own keys and values other than those of the same input in the prefix? */
static bool latents_differ(const timeline *line) { return line->m->config.latent_kv_norm == KV_NORM_QUERY; }

/* Behind a pass over tokens up to `to` of the view: whose keys and values stay. */
static void passed(timeline *line, int64_t to, int64_t latents) {
    bool stays = !latents || !latents_differ(line);
    if (stays && line->number + to > line->cache->final) line->cache->final = line->number + to;
}

static sequence row_of(const timeline *line, int64_t from, int64_t to) {
    return (sequence){.ids = line->ids + from, .length = to - from, .before = line->number + from,
                      .behind = line->count - to, .index = line->index_memory ? &line->index : NULL,
                      .indexed = line->index.begin + from};
}

/* The logits behind the last position of each row go to its timeline. */
static void read_logits(timeline *const *lines, int64_t count, tensor *hidden) {
    tape *t = &lines[0]->d->t;
    int64_t V = lines[0]->m->config.vocab_size;
    tensor *last = count == 1 ? tape_rows(t, hidden, hidden->m.rows - 1, 1) : hidden;
    float *logits = tape_host(t, (size_t)(count * V) * sizeof *logits);
    if (!logits) return;
    tape_read(t, model_logits(t, lines[0]->m, last), logits);
    for (int64_t i = 0; i < count; i++) memcpy(lines[i]->logits, logits + i * V, (size_t)V * sizeof *logits);
}

/* The end of a pass. Where it failed, what the caches hold is unknown. */
static int end_pass(timeline *const *lines, int64_t count, pcv_error *err) {
    int status = tape_end(&lines[0]->d->t, "to generate; lower --latents", err);
    for (int64_t i = 0; i < count && status; i++) begin_again(lines[i]);
    return status;
}

/* Runs the tokens [from, to) of the view; the last `latents` of them become new latents. */
static int run(timeline *line, int64_t from, int64_t to, int64_t latents, pcv_error *err) {
    tape *t = &line->d->t;
    tape_begin(t);
    backend_pass_begin(line->m->be, PASS_WINDOW);
    sequence row = row_of(line, from, to);
    pass p = {.batch = 1, .rows = &row, .caches = &line->cache};
    p.latents = latents * line->m->config.latents_per_position;
    tensor *hidden = model_hidden(t, line->m, &p);
    if (latents) read_logits(&line, 1, hidden);
    passed(line, to, latents);
    backend_pass_end(line->m->be, PASS_WINDOW, (double)(to - from));
    return end_pass(&line, 1, err);
}

/* Runs the last token of each timeline, as one more latent, in one pass. Its bits do not depend on the others. */
static int run_tokens(timeline *const *lines, int64_t count, pcv_error *err) {
    model *m = lines[0]->m;
    tape *t = &lines[0]->d->t;
    tape_begin(t);
    backend_pass_begin(m->be, PASS_TOKEN);
    sequence *rows = tape_host(t, (size_t)count * sizeof *rows);
    model_cache **caches = tape_host(t, (size_t)count * sizeof *caches);
    for (int64_t i = 0; i < count && caches; i++) {
        rows[i] = row_of(lines[i], lines[i]->count - 1, lines[i]->count);
        caches[i] = lines[i]->cache;
    }
    pass p = {.batch = count, .rows = rows, .latents = m->config.latents_per_position, .caches = caches};
    t->by_row = true;
    if (caches) read_logits(lines, count, model_hidden(t, m, &p));
    t->by_row = false;
    for (int64_t i = 0; i < count; i++) passed(lines[i], lines[i]->count, 1);
    backend_pass_end(m->be, PASS_TOKEN, (double)count);
    return end_pass(lines, count, err);
}

/* A model that remembers runs every token once, in order: those that its caches lack. */
static int advance(timeline *line, pcv_error *err) {
    int status = line->seen < line->count ? run(line, line->seen, line->count, line->count - line->seen, err) : 0;
    if (!status) line->seen = line->count;
    return status;
}

/* Its oldest segment leaves, and later tokens keep what they learned from it. */
static int forget_segment(timeline *line, pcv_error *err) {
    int64_t gone = line->m->config.context;
    int status = advance(line, err);
    if (status) return status;
    model_cache_drop_latents(line->cache, gone);
    model_cache_drop_inputs(line->cache, gone);
    memmove(line->ids, line->ids + gone, (size_t)(line->count - gone) * sizeof *line->ids);
    line->count -= gone;
    line->dropped += gone;
    line->number += gone;
    line->index.begin += gone;
    line->seen = line->count;
    return 0;
}

/* Number of the first input that a latent at token `at` of the view sees. */
static int64_t first_seen(const timeline *line, int64_t at) {
    int64_t near = line->m->config.near;
    return line->number + (near && at >= near ? at - near + 1 : 0);
}

/* The caches of the cross-attentions need no inputs in front of number `first` any more; without room for all tokens of
 * the view behind those that they hold, they give their rows back. */
static void forget_far(timeline *line, int64_t first) {
    model_cache *c = line->cache;
    if (first <= c->first || line->number + line->count - c->first <= cross_rows(line)) return;
    model_cache_drop_inputs(c, first - c->first);
}

/* The same, before latents start at token `at` of the view: where the caches do not hold the first input that these
 * see, they begin with it. */
static void keep_near(timeline *line, int64_t at) {
    int64_t first = first_seen(line, at);
    model_cache *c = line->cache;
    if (line->m->config.near && (first < c->first || first >= c->final)) {
        model_cache_keep(c, 0, c->latents);
        c->first = c->final = first;
    }
    forget_far(line, first);
}

/* Keys and values of all inputs before `until`, piece by piece. */
static int fill(timeline *line, int64_t until, pcv_error *err) {
    int status = 0;
    for (int64_t at; !status && (at = line->cache->final - line->number) < until;) {
        int64_t to = until - at < FILL_PIECE ? until : at + FILL_PIECE;
        status = run(line, at, to, 0, err);
    }
    return status;
}

/* Starts the latents again: the last `latents` positions, in one pass. */
static int restart(timeline *line, int64_t latents, pcv_error *err) {
    model_cache *c = line->cache;
    if (latents > line->count) latents = line->count;
    int64_t prefix = line->count - latents;
    model_cache_reset_latents(c);
    if (latents_differ(line) && c->final > line->number + prefix) c->final = line->number + prefix;
    keep_near(line, prefix);
    int status = fill(line, prefix, err);
    if (!status) status = run(line, prefix, line->count, latents, err);
    line->held = latents;
    return status;
}

/* slide: the oldest latent is no longer seen; its room is used again after N more. */
static void drop_latent(timeline *line) {
    model_cache *c = line->cache;
    c->latents_begin += line->m->config.latents_per_position;
    line->held--;
    if (model_cache_has_room(c, line->m->config.latents_per_position)) return;
    model_cache_drop_latents(c, c->latents_begin);
    c->latents_begin = 0;
}

/* Is one more token behind those that the caches hold all that is missing? Then its latent has its place. */
static bool lacks_one_token(timeline *line) {
    if (line->count != line->seen + 1) return false;
    if (line->remembers) return true;
    bool full = line->held == line->latents;
    if (line->seen == 0 || line->policy == PCV_EXACT || (full && line->policy != PCV_SLIDE)) return false;
    if (full) drop_latent(line);
    line->held++;
    /* as many as latents that start again will see */
    if (line->m->config.near && line->count > line->latents)
        forget_far(line, first_seen(line, line->count - line->latents));
    return true;
}

/* All else that may be missing. */
static int catch_up(timeline *line, pcv_error *err) {
    if (line->remembers) return advance(line, err);
    if (line->policy == PCV_EXACT) return restart(line, line->latents, err);
    bool goes_on = line->seen > 0 && line->count == line->seen + 1; /* but the latents are full */
    return restart(line, !goes_on ? line->first : line->latents / 2 ? line->latents / 2 : 1, err);
}

/* ------------------------------------------------------------------ the view */

/* The oldest `gone` tokens leave. */
static void leave(timeline *line, int64_t gone) {
    model_cache *c = line->cache;
    bool keep = any_number(line) && c->final - line->number > gone && line->number < FARTHEST;
    memmove(line->ids, line->ids + gone, (size_t)(line->count - gone) * sizeof *line->ids);
    line->count -= gone;
    line->dropped += gone;
    line->index.begin += gone;
    line->seen = 0;
    if (!keep) {
        begin_again(line);
        return;
    }
    line->number += gone;
    if (c->first < line->number) model_cache_drop_inputs(c, line->number - c->first);
}

/* How many leave together, where not even more do not fit. */
static int64_t least_leave(const timeline *line) {
    return line->policy == PCV_EXACT || line->latents < 4 ? 1 : line->latents / 2;
}

/* The view holds at most the context, and its tokens have the numbers that belong to so many. */
static void settle(timeline *line) {
    int64_t excess = line->count - line->context, least = least_leave(line);
    if (line->remembers) return;
    if (excess > 0) leave(line, excess > least ? excess : least);
    bool moved = !any_number(line) && line->number != place(line);
    if (moved || counts_from_end(line)) begin_again(line);
}

/* Room for more tokens. What leaves here would leave at the next request in any case, and so many more will that
 * the least number has no say. */
static int make_room(timeline *line, pcv_error *err) {
    if (line->remembers) return forget_segment(line, err);
    leave(line, line->count - line->context - least_leave(line));
    return 0;
}

int timeline_append(timeline *line, const int32_t *ids, size_t count, pcv_error *err) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= line->m->config.vocab_size)
            return fail(err, PCV_DATA, "token %d is outside the vocabulary of %lld", ids[i],
                        (long long)line->m->config.vocab_size);
    line->ready = line->ready && count == 0;
    for (int64_t i = 0, n; i < (int64_t)count; i += n) {
        int status = line->count == line->room ? make_room(line, err) : 0;
        if (status) return status;
        n = line->room - line->count < (int64_t)count - i ? line->room - line->count : (int64_t)count - i;
        memcpy(line->ids + line->count, ids + i, (size_t)n * sizeof *ids);
        line->count += n;
        index_more(line, n);
    }
    return 0;
}

int timelines_logits(timeline *const *lines, int64_t count, pcv_error *err) {
    timeline **one = NULL;
    int64_t tokens = 0;
    int status = mem_get(&one, (size_t)count * sizeof *one, "timelines", err);
    for (int64_t i = 0; i < count && !status; i++) {
        CHECK(lines[i]->count > 0 && lines[i]->d == lines[0]->d, "an empty timeline, or of another decoder");
        if (lines[i]->ready) continue;
        settle(lines[i]);
        if (lacks_one_token(lines[i])) one[tokens++] = lines[i];
        else status = catch_up(lines[i], err);
        lines[i]->ready = !status;
        if (!status) lines[i]->seen = lines[i]->count;
    }
    if (!status && tokens) status = run_tokens(one, tokens, err);
    for (int64_t i = 0; i < tokens && status; i++) {
        one[i]->ready = false;
        begin_again(one[i]);
    }
    mem_free(one);
    return status;
}

int timeline_logits(timeline *line, const float **logits, pcv_error *err) {
    *logits = line->logits;
    return timelines_logits(&line, 1, err);
}

/* ------------------------------------------------------------------ other ends */

int64_t timeline_length(const timeline *line) { return line->dropped + line->count; }

bool timeline_truncate(timeline *line, int64_t length) {
    int64_t kept = length - line->dropped;
    model_cache *c = line->cache;
    if (length >= timeline_length(line)) return length == timeline_length(line);
    if (kept <= 0 && length > 0) return false;
    if (length == 0) {
        timeline_reset(line);
        return true;
    }
    line->count = kept;
    line->ready = false;
    line->held = 0;
    if (line->index_memory) ngram_index_truncate(&line->index, line->index.begin + kept);
    if (line->remembers) { /* what was learned stays; the last token runs once more, for its logits */
        if (line->seen > kept - 1) model_cache_keep(c, line->seen = kept - 1, kept - 1);
        c->final = line->number + line->seen;
        return true;
    }
    line->seen = 0;
    int64_t rows = line->number + kept - c->first;
    model_cache_keep(c, c->inputs < rows ? c->inputs : rows > 0 ? rows : 0, c->latents);
    if (c->final > line->number + kept) c->final = line->number + kept;
    model_cache_reset_latents(c);
    return true;
}

void timeline_copy(timeline *to, const timeline *from) {
    CHECK(to->d == from->d && to->room == from->room && to->latents == from->latents, "timelines of two kinds");
    memcpy(to->ids, from->ids, (size_t)from->count * sizeof *to->ids);
    memcpy(to->logits, from->logits, (size_t)to->m->config.vocab_size * sizeof *to->logits);
    to->count = from->count;
    to->dropped = from->dropped;
    to->number = from->number;
    to->seen = from->seen;
    to->held = from->held;
    to->ready = from->ready;
    if (to->index_memory) ngram_index_copy(&to->index, &from->index);
    model_cache_copy(to->cache, from->cache);
}
