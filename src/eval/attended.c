/* One pass whose last latent is the position that is asked about: its row of the attention map, with a bin for each
 * input, its logits, and the few weights of the index heads. These look at what the pass's own index finds, which is
 * made here once more (model/index_look.h): an index is a matter of ids alone. */
#include "eval/attended.h"
#include "base/watch.h"
#include "config/settings.h"
#include "eval/attention.h"
#include "model/index_look.h"
#include "token/id_stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ the inputs */

enum { PIECE = 4096 };

static int beyond(const attended_question *q, int64_t tokens, pcv_error *err) {
    const char *what = !q->path ? "the document" : !strcmp(q->path, "-") ? STANDARD_INPUT : q->path;
    return fail(err, PCV_USAGE, "--token: %lld, but %s has tokens 0 to %lld, the start token first",
                (long long)q->token, what, (long long)tokens - 1);
}

/* ids[0..held), which begin with token `from`, become the inputs and what followed. */
static int take_inputs(pcv_attended *a, const attended_question *q, int64_t from, int64_t held, int64_t last,
                       int64_t context, pcv_error *err) {
    a->token = q->token < 0 ? last : q->token;
    if (a->token > last) return beyond(q, last + 1, err);
    a->first = a->token + 1 > context ? a->token + 1 - context : 0;
    a->count = a->token + 1 - a->first;
    a->next.id = from + held > a->token + 1 ? a->ids[a->token + 1 - from] : -1;
    memmove(a->ids, a->ids + (a->first - from), (size_t)a->count * sizeof *a->ids);
    return 0;
}

/* Of a file of any length what the context holds in front of the position, and the token behind it. */
static int read_file(pcv_engine *e, const attended_question *q, int64_t context, const pcv_watch *watch,
                     pcv_attended *a, pcv_error *err) {
    id_stream s;
    int64_t room = context + 1 + PIECE, from = 0, held = 0, wanted = q->token < 0 ? INT64_MAX : q->token + 2;
    int status = id_stream_open(&s, &e->tokens, q->path, q->are_ids, watch, err);
    if (status) return status;
    TRY(mem_get(&a->ids, (size_t)room * sizeof *a->ids, "tokens", err));
    for (size_t asked = 1, got = 1; got == asked && from + held < wanted; held += (int64_t)got) {
        if (held == room) { /* what can still be an input stays, and one that can be the last */
            from += PIECE;
            held -= PIECE;
            memmove(a->ids, a->ids + PIECE, (size_t)held * sizeof *a->ids);
        }
        asked = (size_t)(wanted - from - held < room - held ? wanted - from - held : room - held);
        TRY(id_stream_next(&s, a->ids + held, asked, &got, err));
    }
    TRY(take_inputs(a, q, from, held, from + held - 1, context, err));
out:
    id_stream_close(&s);
    return status;
}

/* Of a generated document the last token is no input. */
static int generate(pcv_engine *e, const attended_question *q, const eval_config *c, pcv_attended *a,
                    int64_t *document, pcv_error *err) {
    int64_t first;
    int status = attention_generate(e, c->seed, &a->ids, document, &first, err);
    return status ? status : take_inputs(a, q, 0, *document, *document - 2, c->context, err);
}

/* ------------------------------------------------------------------ the pass */

/* What the pass leaves on the host. */
typedef struct findings {
    float *map;    /* [count], or NULL */
    float *logits; /* [V] */
    index_rules rules;
} findings;

static int run(pcv_engine *e, tape *t, const pcv_attended *a, int64_t document, int64_t latents, findings *f,
               pcv_error *err) {
    window w = {.from = a->first, .count = a->count + 1, .whole = document};
    sequence s = window_row(e->m, &w, a->ids);
    tape_begin(t);
    pass p = pass_over(e->m, &s, 1, latents);
    attention_map map = {{.first = p.latents - 1, .every = 1, .rows = 1, .bins = a->count, .span = a->count}, f->map};
    if (f->map) p.map = &map;
    tensor *hidden = model_hidden(t, e->m, &p);
    tape_read(t, model_logits(t, e->m, tape_rows(t, hidden, hidden->m.rows - 1, 1)), f->logits);
    index_rules_read(&f->rules, t, e->m);
    return tape_end(t, "for the pass; lower --latents or --context", err);
}

static bool all_finite(const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* ------------------------------------------------------------------ what it says */

/* The most probable first; of equal ones the nearest, which is the last. */
static int compare_places(const void *a, const void *b) {
    const pcv_place *x = a, *y = b;
    if (x->probability > y->probability || x->probability < y->probability)
        return x->probability > y->probability ? -1 : 1;
    return x->place > y->place ? -1 : x->place < y->place;
}

static int compare_guesses(const void *a, const void *b) {
    const pcv_guess *x = a, *y = b;
    if (x->probability > y->probability || x->probability < y->probability)
        return x->probability > y->probability ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int tell_inputs(const pcv_engine *e, const findings *f, int64_t top, pcv_attended *a, pcv_error *err) {
    int64_t near = e->m->config.near;
    if (!f->map) return 0;
    int status = mem_get(&a->place, (size_t)a->count * sizeof *a->place, "places", err);
    if (status) return status;
    a->seen = near && near < a->count ? near : a->count;
    a->places = a->seen < top ? a->seen : top;
    for (int64_t i = 0; i < a->count; i++)
        a->place[i] = (pcv_place){.place = a->first + i, .probability = (double)f->map[i]};
    qsort(a->place, (size_t)a->count, sizeof *a->place, compare_places);
    return 0;
}

static int tell_guesses(const pcv_engine *e, const findings *f, int64_t top, pcv_attended *a, pcv_error *err) {
    int64_t V = e->m->config.vocab_size;
    double largest = -INFINITY, sum = 0;
    int status = mem_get(&a->guess, (size_t)V * sizeof *a->guess, "guesses", err);
    if (status) return status;
    for (int64_t v = 0; v < V; v++) largest = fmax(largest, (double)f->logits[v]);
    for (int64_t v = 0; v < V; v++) sum += exp((double)f->logits[v] - largest);
    for (int64_t v = 0; v < V; v++)
        a->guess[v] = (pcv_guess){(int32_t)v, exp((double)f->logits[v] - largest) / sum};
    if (a->next.id >= 0) a->next = a->guess[a->next.id];
    qsort(a->guess, (size_t)V, sizeof *a->guess, compare_guesses);
    a->guesses = V < top ? V : top;
    return 0;
}

static int tell_head(const ngram_index *x, const index_rules *r, int h, pcv_attended *a, pcv_error *err) {
    index_place found[MOST_PLACES];
    pcv_index_head *head = &a->head[h];
    head->order = x->order[h];
    head->count = index_look(x, r, h, a->count - 1, found, &head->nothing);
    int status = mem_get(&head->place, (size_t)(head->count + 1) * sizeof *head->place, "places", err);
    for (int64_t i = 0; i < head->count && !status; i++)
        head->place[i] = (pcv_place){a->first + found[i].match.place, found[i].match.length, found[i].probability};
    if (!status) qsort(head->place, (size_t)head->count, sizeof *head->place, compare_places);
    return status;
}

static int tell_heads(const pcv_engine *e, const findings *f, pcv_attended *a, pcv_error *err) {
    int heads = (int)f->rules.heads, status = 0;
    void *memory = NULL;
    ngram_index x;
    if (!heads) return 0;
    TRY(mem_get(&a->head, (size_t)heads * sizeof *a->head, "index heads", err));
    a->heads = heads;
    TRY(index_of(e->m, a->ids, a->count, 1, &x, &memory, err));
    for (int h = 0; h < heads && !status; h++) status = tell_head(&x, &f->rules, h, a, err);
out:
    mem_free(memory);
    return status;
}

int attended_tell(pcv_engine *e, const attended_question *q, const pcv_settings *settings, const pcv_watch *watch,
                  pcv_attended *a, pcv_error *err) {
    const model_config *m = &e->m->config;
    bool crosses = m->initial_cross && m->latents_per_position == 1;
    eval_config c;
    findings f = {0};
    tape t = {0};
    int64_t document = 0;
    int status = 0;
    *a = (pcv_attended){0};
    TRY(engine_goes_on(e, err));
    TRY(settings_eval(settings, &c, err));
    TRY(evaluate_defaults(&c, m, err));
    if (!crosses && !m->index.orders.count) {
        status = fail(err, PCV_CONFIG, "there is nothing to list: it needs a model with index heads, or with a first "
                      "cross-attention and one latent a position");
        goto out;
    }
    if (q->path) TRY(read_file(e, q, c.context, watch, a, err));
    else TRY(generate(e, q, &c, a, &document, err));
    if (crosses) TRY(mem_get(&f.map, (size_t)a->count * sizeof *f.map, "a map", err));
    TRY(mem_get(&f.logits, (size_t)m->vocab_size * sizeof *f.logits, "logits", err));
    TRY(tape_init(&t, e->be, 0, err));
    TRY(run(e, &t, a, document, c.latents, &f, err));
    if (!all_finite(f.logits, m->vocab_size) || (crosses && !all_finite(f.map, a->count))) {
        status = engine_not_finite(e, err);
        goto out;
    }
    TRY(tell_inputs(e, &f, q->top, a, err));
    TRY(tell_heads(e, &f, a, err));
    TRY(tell_guesses(e, &f, q->top, a, err));
out:
    tape_free(&t);
    mem_free(f.map);
    mem_free(f.logits);
    if (status) attended_free(a);
    return status;
}

void attended_free(pcv_attended *a) {
    for (int64_t h = 0; h < a->heads; h++) mem_free(a->head[h].place);
    mem_free(a->head);
    mem_free(a->place);
    mem_free(a->guess);
    mem_free(a->ids);
    *a = (pcv_attended){0};
}
