/* Log-probabilities of every token of one sequence, by the same windows as an evaluation, window by window: memory does
 * not depend on the length of the sequence. */
#include "eval/score.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/safetensors.h"
#include "base/watch.h"
#include "config/settings.h"
#include "token/id_stream.h"

#include <math.h>
#include <string.h>

typedef struct scorer {
    pcv_engine *e;
    eval_config c;
    tape t;
    id_stream in;
    int64_t targets, done; /* tokens behind the start token; of them scored */
    int64_t bytes;         /* as pcv_scores */
    int32_t *ids;          /* [context + 1], of the sequence from `from` on */
    int64_t from, held;
    double *logprob;       /* [stride] */
    float *rows;           /* [stride, V] */
} scorer;

/* ------------------------------------------------------------------ one window */

/* log softmax(logits)[id], in double. */
static double log_probability(const float *logits, int64_t vocab, int32_t id) {
    double top = -INFINITY, sum = 0;
    for (int64_t v = 0; v < vocab; v++) top = fmax(top, (double)logits[v]);
    for (int64_t v = 0; v < vocab; v++) sum += exp((double)logits[v] - top);
    return (double)logits[id] - top - log(sum);
}

/* Moves on to the tokens of w. */
static int read_window(scorer *s, const window *w, pcv_error *err) {
    int64_t kept = s->from + s->held - w->from;
    size_t wanted = (size_t)(w->count - kept), got;
    memmove(s->ids, s->ids + (w->from - s->from), (size_t)kept * sizeof *s->ids);
    s->from = w->from;
    s->held = w->count;
    int status = id_stream_next(&s->in, s->ids + kept, wanted, &got, err);
    if (!status && got < wanted) status = fail(err, PCV_IO, "%s: became shorter while it was read", s->in.file.path);
    return status;
}

static int run_window(scorer *s, const window *w, pcv_error *err) {
    sequence row = window_row(s->e->m, w, s->ids);
    pass p = pass_over(s->e->m, &row, 1, s->c.latents);
    tape_begin(&s->t);
    tensor *hidden = model_hidden(&s->t, s->e->m, &p);
    tensor *last = tape_rows(&s->t, hidden, hidden->m.rows - w->scored, w->scored);
    tape_read(&s->t, model_logits(&s->t, s->e->m, last), s->rows);
    return tape_end(&s->t, "to score; lower --context or --latents", err);
}

/* The next window's scores, valid until the next call; count 0 at the end. */
static int scorer_next(scorer *s, pcv_scores *some, pcv_error *err) {
    int64_t V = s->e->m->config.vocab_size;
    int status = 0;
    *some = (pcv_scores){.vocabulary = V, .bytes = s->bytes};
    if (s->done == s->targets) return 0;
    window w = block_at(1, s->targets, s->done, s->c.context, s->c.stride);
    TRY(read_window(s, &w, err));
    TRY(run_window(s, &w, err));
    *some = (pcv_scores){w.scored, V, s->bytes, s->ids + w.count - w.scored, s->logprob, s->rows};
    for (int64_t i = 0; i < w.scored; i++) {
        s->logprob[i] = log_probability(s->rows + i * V, V, some->ids[i]);
        if (!isfinite(s->logprob[i])) return engine_not_finite(s->e, err);
    }
    s->done += w.scored;
out:
    return status;
}

static void scorer_close(scorer *s) {
    id_stream_close(&s->in);
    tape_free(&s->t);
    mem_free(s->ids);
    mem_free(s->logprob);
    mem_free(s->rows);
}

/* The caller has opened s->in. */
static int scorer_open(scorer *s, pcv_engine *e, const pcv_settings *settings, pcv_error *err) {
    int64_t count;
    int status = 0;
    s->e = e;
    TRY(engine_goes_on(e, err));
    TRY(settings_eval(settings, &s->c, err));
    TRY(evaluate_defaults(&s->c, &e->m->config, err));
    TRY(id_stream_count(&s->in, &count, &s->bytes, err));
    s->targets = count - 1;
    TRY(mem_get(&s->ids, (size_t)(s->c.context + 1) * sizeof *s->ids, "tokens", err));
    TRY(mem_get(&s->logprob, (size_t)s->c.stride * sizeof *s->logprob, "log-probabilities", err));
    TRY(mem_get(&s->rows, (size_t)(s->c.stride * e->m->config.vocab_size) * sizeof *s->rows, "logits", err));
    TRY(tape_init(&s->t, e->be, 0, err));
out:
    return status;
}

/* ------------------------------------------------------------------ all at once */

static int collect(scorer *s, bool logits, pcv_scores *all, pcv_error *err) {
    int64_t V = s->e->m->config.vocab_size, room = s->targets + 1, at = 0;
    pcv_scores some;
    int status = 0;
    *all = (pcv_scores){.count = s->targets, .vocabulary = V, .bytes = s->bytes};
    TRY(mem_get(&all->ids, (size_t)room * sizeof *all->ids, "tokens", err));
    TRY(mem_get(&all->logprob, (size_t)room * sizeof *all->logprob, "log-probabilities", err));
    if (logits) TRY(mem_get(&all->logits, (size_t)(room * V) * sizeof *all->logits, "logits", err));
    for (; at < s->targets; at += some.count) {
        TRY(scorer_next(s, &some, err));
        memcpy(all->ids + at, some.ids, (size_t)some.count * sizeof *some.ids);
        memcpy(all->logprob + at, some.logprob, (size_t)some.count * sizeof *some.logprob);
        if (logits) memcpy(all->logits + at * V, some.logits, (size_t)(some.count * V) * sizeof *some.logits);
    }
out:
    return status;
}

/* Status is that of opening the stream. */
static int score_all(scorer *s, int status, pcv_engine *e, bool logits, const pcv_settings *settings, pcv_scores *all,
                     pcv_error *err) {
    *all = (pcv_scores){0};
    if (!status) status = scorer_open(s, e, settings, err);
    if (!status) status = collect(s, logits, all, err);
    if (status) scores_free(all);
    scorer_close(s);
    return status;
}

int score_ids(pcv_engine *e, const int32_t *ids, size_t count, bool logits, const pcv_settings *settings,
              pcv_scores *scores, pcv_error *err) {
    scorer s = {0};
    id_stream_of(&s.in, &e->tokens, ids, count);
    return score_all(&s, 0, e, logits, settings, scores, err);
}

int score_file(pcv_engine *e, const char *path, bool are_ids, bool logits, const pcv_settings *settings,
                   pcv_scores *scores, pcv_error *err) {
    scorer s = {0};
    int status = id_stream_open(&s.in, &e->tokens, path, are_ids, NULL, err);
    return score_all(&s, status, e, logits, settings, scores, err);
}

int scores_save(const pcv_scores *s, const char *path, pcv_error *err) {
    if (!s->logits) return fail(err, PCV_USAGE, "there are no logits to save");
    safetensors_plan plan = {.name = "logits", .type = "F32", .rank = 2, .shape = {s->count, s->vocabulary},
                             .data = s->logits};
    return safetensors_save(&(safetensors_writer){.plans = &plan, .count = 1}, path, NULL, NULL, err);
}

void scores_free(pcv_scores *s) {
    mem_free(s->ids);
    mem_free(s->logprob);
    mem_free(s->logits);
    *s = (pcv_scores){0};
}

/* ------------------------------------------------------------------ as they come */

typedef struct delivery {
    scorer *s;
    const pcv_score_options *o;
    const pcv_watch *watch;
    double start;
    pcv_scores some; /* of the last window */
    size_t given;    /* bytes of its logits that are in the file */
    int status;
    pcv_error *err;
} delivery;

static int report(const delivery *d) {
    const scorer *s = d->s;
    double seconds = clock_now() - d->start;
    pcv_progress p = {.stage = "scoring", .done = (double)s->done, .total = (double)s->targets, .seconds = seconds,
                      .rate = seconds > 0 ? (double)s->done / seconds : 0, .unit = "tokens"};
    if (watch_ask(d->watch, &p) != PCV_STOP) return 0;
    return fail(d->err, PCV_INTERRUPTED, "interrupted");
}

static int deliver(delivery *d) {
    int64_t first = d->s->done;
    d->given = 0;
    d->status = scorer_next(d->s, &d->some, d->err);
    if (!d->status && d->o->take(d->o->context, first, d->s->targets, &d->some))
        d->status = fail(d->err, PCV_INTERRUPTED, "interrupted");
    if (!d->status) d->status = report(d);
    return d->status;
}

/* The next bytes of the tensor of logits: what is not there yet is scored now. */
static int read_logits(void *context, int index, uint64_t offset, void *out, size_t bytes) {
    delivery *d = context;
    (void)index, (void)offset; /* they are asked for in order */
    for (size_t at = 0; at < bytes;) {
        size_t left = (size_t)(d->some.count * d->some.vocabulary) * sizeof(float) - d->given;
        size_t part = left < bytes - at ? left : bytes - at;
        if (part) memcpy((char *)out + at, (const char *)d->some.logits + d->given, part);
        else if (deliver(d)) return -1;
        d->given += part;
        at += part;
    }
    return 0;
}

static int deliver_with_logits(delivery *d) {
    pcv_error reason = {0};
    safetensors_plan plan = {.name = "logits", .type = "F32", .rank = 2,
                             .shape = {d->s->targets, d->s->e->m->config.vocab_size}};
    safetensors_writer w = {.plans = &plan, .count = 1, .read = read_logits, .context = d};
    int status = safetensors_save(&w, d->o->logits, NULL, NULL, &reason);
    if (d->status || !status) return d->status;
    return fail(d->err, status, "%s", reason.message);
}

int score_stream(pcv_engine *e, const pcv_score_options *o, const pcv_settings *settings, const pcv_watch *watch,
                     pcv_error *err) {
    scorer s = {0};
    int status = 0;
    TRY(id_stream_open(&s.in, &e->tokens, o->path, o->are_ids, watch, err));
    TRY(scorer_open(&s, e, settings, err));
    delivery d = {.s = &s, .o = o, .watch = watch, .start = clock_now(), .err = err};
    if (o->logits) status = deliver_with_logits(&d);
    while (!status && s.done < s.targets) status = deliver(&d);
out:
    scorer_close(&s);
    return status;
}
