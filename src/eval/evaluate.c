/* Windows of a block_plan become rows of a pass, and its losses go into tallies: add_row is the one place where a
 * target is counted. Which windows share a pass changes no more than rounding. A sweep scores the same targets
 * once for each of its points, window by window, so that the points' differences are surer than the points. */
#include "eval/evaluate.h"
#include "base/clock.h"
#include "base/watch.h"
#include "config/settings.h"
#include "eval/answers.h"
#include "eval/tally.h"
#include "gen/engine.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { SPANS = 48, FIRST_BUCKET = 512 };

/* Windows that wait for a pass, and what it gave. */
typedef struct scoring {
    window_rows rows;
    int64_t latents;
    pass p;            /* the last one */
    const float *loss; /* [rows positions, LOSS_COLUMNS], until the next */
} scoring;

int evaluate_defaults(eval_config *c, const model_config *m, pcv_error *err) {
    if (model_type_of(m)->answers) return answers_defaults(c, m, err);
    int64_t group = m->latents_per_position;
    if (!c->context) c->context = m->context + m->memory;
    if (!c->latents) c->latents = m->latents < c->context ? m->latents : c->context;
    c->latents = c->latents / group * group;
    bool table = m->positions.kind != POSITION_NONE;
    if (table && c->context > m->context)
        return fail(err, PCV_CONFIG, "--context: %lld, but the model's position table ends at %lld",
                    (long long)c->context, (long long)m->context);
    if (c->latents < 1 || c->latents > c->context)
        return fail(err, PCV_CONFIG, "--latents: %lld is out of range, expected %lld to the context of %lld",
                    (long long)c->latents, (long long)group, (long long)c->context);
    if (m->query == QUERY_LEARNED && c->latents > m->latents)
        return fail(err, PCV_CONFIG, "--latents: %lld, but this model learned a query for each of %lld",
                    (long long)c->latents, (long long)m->latents);
    if (c->context > model_most_tokens(m) / c->batch)
        return fail(err, PCV_CONFIG, "--batch times --context: %lld times %lld is more than %d tokens at once",
                    (long long)c->batch, (long long)c->context, (int)model_most_tokens(m));
    int64_t positions = c->latents / group;
    if (!c->stride) c->stride = positions / 2 ? positions / 2 : 1;
    if (c->stride > positions)
        return fail(err, PCV_CONFIG, "--stride: %lld, but one pass scores at most %lld target%s",
                    (long long)c->stride, (long long)positions, plural(positions));
    return 0;
}

/* ------------------------------------------------------------------ a pass */

static int scoring_open(scoring *b, int64_t rows, int64_t context, int64_t latents, pcv_error *err) {
    *b = (scoring){.latents = latents};
    return window_rows_open(&b->rows, rows, rows * (context + 1), err);
}

static int run_batch(const evaluation_job *job, scoring *b, pcv_error *err) {
    loss_sum ignored = {0};
    tape_begin(job->t);
    backend_pass_begin(job->m->be, PASS_SCORING);
    b->p = pass_over(job->m, b->rows.row, b->rows.count, b->latents);
    tensor *hidden = model_hidden(job->t, job->m, &b->p);
    tensor *loss = model_loss(job->t, job->m, hidden, &b->p, &(loss_spec){0});
    loss_read(job->t, loss, &b->p, &ignored, &b->loss);
    backend_pass_end(job->m->be, PASS_SCORING, (double)(b->rows.used - b->rows.count));
    return tape_end(job->t, "to evaluate; lower --context, --latents or --batch", err);
}

/* ------------------------------------------------------------------ tallies */

/* Index of the bucket that a target at this position of its document belongs to. */
static int bucket_of(pcv_evaluation *e, int64_t position) {
    int i = 0;
    int64_t from = 0, to = FIRST_BUCKET;
    for (; position >= to && i < PCV_BUCKETS - 1; i++) {
        from = to;
        to *= 2;
    }
    for (; e->positions <= i; e->positions++) e->position[e->positions].to = 0;
    e->position[i].from = from;
    e->position[i].to = to;
    return i;
}

/* A target's bytes, and the words that begin in it: what follows white space and is none. */
static void count_text(const tokenizer *tokens, int32_t before, int32_t target, tally *t) {
    size_t size;
    if (!tokens->type->piece) return;
    const char *piece = tokens->type->piece(tokens, before, &size);
    char last = size ? piece[size - 1] : ' ';
    piece = tokens->type->piece(tokens, target, &size);
    for (size_t i = 0; i < size; last = piece[i++]) {
        unsigned char c = (unsigned char)piece[i];
        t->words += isspace((unsigned char)last) && !isspace(c);
        t->letters += isalnum(c) || isspace(c) || c >= 0x80;
        t->digits += isdigit(c) != 0;
    }
    t->bytes += (int64_t)size;
}

/* Whether white space cuts this text into what people call words: nine of ten bytes are letters, digits or white
 * space, one of ten a digit at most, and a word has 16 bytes at most on average. Source code, listings and tables are
 * not so, nor is Chinese. */
static bool has_words(const tally *t) {
    bool prose = 10 * t->letters >= 9 * t->bytes && 10 * t->digits <= t->bytes;
    return t->words && prose && t->bytes <= 16 * t->words;
}

/* Adds row r of a batch, to the buckets of its positions too, where e is not NULL. */
static void add_row(const evaluation_job *job, const scoring *b, int64_t r, tally *t, pcv_evaluation *e,
                    tally bucket[PCV_BUCKETS]) {
    int64_t positions = b->p.positions, count = 0, here = 0;
    const window *w = &b->rows.window[r];
    const int32_t *ids = b->rows.row[r].ids;
    double sum = 0, part = 0; /* of the window; of its targets in bucket `now` */
    int now = 0;
    for (int64_t u = 0; u < positions; u++) {
        int64_t i = r * positions + u;
        if (b->p.target[i] < 0) continue;
        double loss = (double)b->loss[i * LOSS_COLUMNS + LOSS_NATS];
        sum += loss;
        count++;
        count_text(&job->d->tokens, ids[w->count - 1 - positions + u], b->p.target[i], t);
        t->hits += b->loss[i * LOSS_COLUMNS + LOSS_HIT] > 0;
        if (!e) continue;
        int k = bucket_of(e, w->from + w->count - positions + u);
        if (k != now) {
            tally_window(&bucket[now], part, here);
            part = 0, here = 0, now = k;
        }
        part += loss;
        here++;
    }
    tally_window(t, sum, count);
    if (e) tally_window(&bucket[now], part, here);
}

/* ------------------------------------------------------------------ passes */

static int not_finite(const evaluation_job *job, pcv_error *err) {
    return job->engine ? engine_not_finite(job->engine, err) : fail(err, PCV_NUMERIC, "the loss is not finite");
}

static int report(const evaluation_job *job, double done, double total, double start, int64_t tokens,
                  pcv_error *err) {
    double seconds = clock_now() - start;
    pcv_progress p = {.stage = "evaluating", .done = done, .total = total, .seconds = seconds,
                      .rate = seconds > 0 ? (double)tokens / seconds : 0, .unit = "tokens"};
    if (watch_ask(job->watch, &p) == PCV_STOP)
        return fail(err, PCV_INTERRUPTED, "interrupted");
    return 0;
}

static int flush(const evaluation_job *job, scoring *b, tally *t, pcv_evaluation *e, tally *bucket, pcv_error *err) {
    int status = b->rows.count ? run_batch(job, b, err) : 0;
    for (int64_t r = 0; r < b->rows.count && !status; r++) add_row(job, b, r, t, e, bucket);
    window_rows_clear(&b->rows);
    return status;
}

static int push(const evaluation_job *job, scoring *b, const window *w, pcv_error *err) {
    return window_rows_read(&b->rows, job->m, job->d, (split_name)job->config->split, w, err);
}

/* A choice of `wanted` targets out of `all`, spread evenly, as they come window by window. */
typedef struct spread {
    int64_t wanted, taken, all, seen;
} spread;

/* How many of the window's next `count` targets are taken, the last of them: all, none, or what is still wanted. A
 * window is taken when half of it or more is due, or when the rest would not suffice. */
static int64_t spread_take(spread *s, int64_t count) {
    int64_t left = s->wanted - s->taken, taken = count < left ? count : left;
    s->seen += count;
    double due = (double)s->wanted * ((double)s->seen / (double)s->all) - (double)s->taken;
    if (2 * due < (double)taken && left <= s->all - s->seen) return 0;
    s->taken += taken;
    return taken;
}

/* Leaves of the window what is taken of it: false, when nothing is. */
static bool take(const evaluation_job *job, spread *s, window *w) {
    split_name split = (split_name)job->config->split;
    int64_t taken = spread_take(s, window_targets(job->d, split, w, w->scored));
    if (taken) window_keep(job->d, split, w, taken);
    return taken > 0;
}

static int score_split(const evaluation_job *job, scoring *b, tally *t, pcv_evaluation *e,
                       pcv_error *err) {
    const eval_config *c = job->config;
    block_plan plan;
    window w;
    tally bucket[PCV_BUCKETS] = {{0}};
    int status = 0;
    double start = clock_now();
    block_open(&plan, job->d, (split_name)c->split, c->context, c->stride, c->examples);
    spread some = {c->tokens && c->tokens < plan.targets ? c->tokens : plan.targets, 0, plan.targets, 0};
    for (int64_t document = -1; block_next(&plan, &w);) {
        if (!take(job, &some, &w)) continue;
        e->documents += w.document != document;
        document = w.document;
        TRY(push(job, b, &w, err));
        if (b->rows.count == b->rows.capacity) {
            TRY(flush(job, b, t, e, bucket, err));
            TRY(report(job, (double)some.seen, (double)some.all, start, t->tokens, err));
        }
    }
    TRY(flush(job, b, t, e, bucket, err));
    for (int i = 0; i < e->positions; i++) {
        pcv_bucket *k = &e->position[i];
        k->tokens = bucket[i].tokens;
        k->loss = k->tokens ? bucket[i].loss / (double)k->tokens : 0;
        k->standard_error = tally_error(&bucket[i]);
    }
out:
    return status;
}

/* ------------------------------------------------------------------ the same targets in several ways */

/* Scores the targets of w with the latents, the context and the stride of p. */
static int score_span(const evaluation_job *job, scoring *b, const window *w, pcv_sweep_point *p,
                      tally *t, pcv_error *err) {
    int64_t end = w->from + w->count, next;
    double start = clock_now();
    int status = 0;
    b->latents = p->latents;
    for (int64_t at = end - w->scored; at < end && !status; at = next) {
        next = end - at < p->stride ? end : at + p->stride;
        int64_t from = next - 1 > p->context ? next - 1 - p->context : 0;
        window piece = {.document = w->document, .from = from, .count = next - from, .scored = next - at,
                        .whole = w->whole};
        status = push(job, b, &piece, err);
        if (!status) status = flush(job, b, t, NULL, NULL, err);
    }
    p->seconds += clock_now() - start;
    return status;
}

/* Bits are told per byte of the source, of which the pieces may have more or fewer bytes. */
static int count_source(const evaluation_job *job, tally *t, int count, pcv_error *err) {
    double ratio;
    int status = dataset_bytes_of_piece(job->d, (split_name)job->config->split, &ratio, err);
    for (int k = 0; k < count && !status; k++) t[k].bytes = llround((double)t[k].bytes * ratio);
    return status;
}

static void fill_point(pcv_sweep_point *p, const tally *t) {
    const double n = (double)t->tokens, ln2 = 0.69314718055994531;
    p->tokens = t->tokens;
    p->loss = t->loss / n;
    p->standard_error = tally_error(t);
    p->bits_per_token = p->loss / ln2;
    p->bits_per_byte = t->bytes ? t->loss / ln2 / (double)t->bytes : 0;
    p->accuracy = (double)t->hits / n;
    p->seconds_per_token = p->seconds / n;
}

/* Targets in windows of `span` with at least `need` inputs, counted. */
static int64_t count_spans(const evaluation_job *job, int64_t span, int64_t need) {
    const eval_config *c = job->config;
    block_plan plan;
    window w;
    int64_t count = 0;
    block_open(&plan, job->d, (split_name)c->split, c->context, span, c->examples);
    while (block_next(&plan, &w))
        if (w.count - 1 >= need && w.scored == span)
            count += window_targets(job->d, (split_name)c->split, &w, span);
    return count;
}

int evaluate_points(const evaluation_job *job, pcv_sweep_point *point, int count, int64_t span, int64_t need,
                    pcv_error *err) {
    const eval_config *c = job->config;
    int64_t context = 0, latents = 0;
    for (int k = 0; k < count; k++) {
        if (point[k].context > context) context = point[k].context;
        if (point[k].latents > latents) latents = point[k].latents;
        point[k].tokens = 0;
    }
    if (need < context) need = context;
    int64_t all = count_spans(job, span, need);
    if (!all) all = count_spans(job, span, need = latents); /* no document is that long */
    int64_t most = c->tokens ? c->tokens : SPANS * span;
    spread some = {.wanted = all < most ? all : most, .all = all};
    scoring b = {0};
    tally *t = NULL;
    block_plan plan;
    window w;
    int status = 0;
    if (!all) return 0;
    double start = clock_now();
    TRY(mem_get(&t, (size_t)count * sizeof *t, "evaluation", err));
    TRY(scoring_open(&b, 1, context, latents, err));
    block_open(&plan, job->d, (split_name)c->split, c->context, span, c->examples);
    while (block_next(&plan, &w)) {
        if (w.count - 1 < need || w.scored != span) continue;
        if (!take(job, &some, &w)) continue;
        for (int k = 0; k < count; k++) TRY(score_span(job, &b, &w, &point[k], &t[k], err));
        TRY(report(job, (double)some.seen, (double)some.all, start, t[0].tokens * count, err));
    }
    TRY(count_source(job, t, count, err));
    for (int k = 0; k < count; k++) fill_point(&point[k], &t[k]);
    for (int k = 0; k < count && !status; k++)
        if (!isfinite(point[k].loss)) status = not_finite(job, err);
out:
    window_rows_close(&b.rows);
    mem_free(t);
    return status;
}

/* The same targets behind prefixes of growing length, the latents alone first: what a longer context buys. */
static int score_contexts(const evaluation_job *job, pcv_evaluation *e, pcv_error *err) {
    const eval_config *c = job->config;
    eval_config some = *c;
    evaluation_job part = *job;
    pcv_sweep_point point[PCV_BUCKETS] = {{0}};
    int count = 0;
    part.config = &some;
    some.tokens = SPANS * c->stride;
    for (int64_t n = c->latents / job->m->config.latents_per_position; count < PCV_BUCKETS; n *= 2) {
        point[count++] = (pcv_sweep_point){.latents = c->latents, .context = n < c->context ? n : c->context,
                                           .stride = c->stride};
        if (n >= c->context) break;
    }
    int status = evaluate_points(&part, point, count, c->stride, 0, err);
    for (int k = 0; k < count && point[k].tokens; k++)
        e->context_length[e->contexts++] = (pcv_bucket){point[k].context, point[k].context, point[k].tokens,
                                                        point[k].loss, point[k].standard_error};
    return status;
}

int evaluate(const evaluation_job *job, pcv_evaluation *e, pcv_error *err) {
    if (job->m->type->answers) return answers_evaluate(job, e, err);
    const eval_config *c = job->config;
    const double ln2 = 0.69314718055994531;
    scoring b;
    tally t = {0};
    *e = (pcv_evaluation){.latents = c->latents, .context = c->context, .stride = c->stride};
    double start = clock_now();
    int status = scoring_open(&b, c->batch, c->context, c->latents, err);
    if (status) return status;
    bool recording = job->t->recording, training = job->t->training;
    job->t->recording = job->t->training = false;
    TRY(score_split(job, &b, &t, e, err));
    TRY(count_source(job, &t, 1, err));
    if (t.tokens == 0) {
        status = fail(err, PCV_DATA, "%s: the %s split has nothing to score", job->d->name,
                      split_names[c->split]);
        goto out;
    }
    e->seconds = clock_now() - start;
    bool longer = c->context > c->latents / job->m->config.latents_per_position;
    if (job->contexts && longer) TRY(score_contexts(job, e, err));
    e->tokens = t.tokens;
    e->bytes = t.bytes;
    e->words = has_words(&t) ? t.words : 0;
    e->word_perplexity = e->words ? exp(t.loss / (double)t.words) : 0;
    e->loss = t.loss / (double)t.tokens;
    e->standard_error = tally_error(&t);
    e->bits_per_token = e->loss / ln2;
    e->bits_per_second = e->bits_per_token * job->d->tokens.second;
    e->bits_per_dim = job->d->tokens.type->picture ? e->bits_per_token : 0;
    e->bits_per_byte = t.bytes ? t.loss / ln2 / (double)t.bytes : 0;
    e->standard_error_bits = t.bytes ? e->standard_error / ln2 * (double)t.tokens / (double)t.bytes : 0;
    e->perplexity = exp(e->loss);
    e->accuracy = (double)t.hits / (double)t.tokens;
    if (!isfinite(e->loss)) status = not_finite(job, err);
out:
    job->t->recording = recording;
    job->t->training = training;
    window_rows_close(&b.rows);
    return status;
}

/* Data that were named may be others than the run's, but that is said. */
static int check_data(const pcv_engine *engine, const dataset *d, bool named, const pcv_watch *watch, pcv_error *err) {
    bool assumed, same = dataset_is(d, engine->digest, engine->dataset, &assumed);
    if (!same && !named)
        return fail(err, PCV_DATA, "%s: not the data that the run was trained on any more; --data takes it all the "
                    "same", d->place);
    if (!same) watch_say(watch, "%s: other data than the run was trained on", d->place);
    else if (assumed)
        watch_say(watch, "%s is taken for the data that the run was trained on: an older version recorded no digest",
                  d->place);
    return 0;
}

/* Of films without labels the rest is evaluated. */
static int check_classes(const pcv_engine *engine, const dataset *d, pcv_error *err) {
    bool same = d->classes == engine->classes || (!d->classes && tokenizer_is_film(&d->tokens));
    if (same || !engine->m->type->answers) return 0;
    return fail(err, PCV_DATA, "%s: documents of %lld classes, but %s tells %lld apart", d->name, (long long)d->classes,
                engine->run, (long long)engine->classes);
}

int evaluation_open(evaluation_job *job, eval_config *c, tape *t, pcv_engine *engine, const char *name,
                    const pcv_watch *watch, pcv_error *err) {
    dataset *d = NULL;
    int status = 0;
    TRY(evaluate_defaults(c, &engine->m->config, err));
    status = dataset_open(&d, name ? name : engine->dataset, (uint64_t)c->seed, err);
    if (status == PCV_NOINPUT && !name)
        fail(err, status, "%s: the run's data set is not there any more; --data names it where it is now",
             engine->dataset);
    if (status) goto out;
    *job = (evaluation_job){.t = t, .m = engine->m, .d = d, .engine = engine, .config = c, .watch = watch};
    TRY(dataset_check_meaning(d, &engine->tokens, engine->run, err));
    TRY(check_classes(engine, d, err));
    TRY(check_data(engine, d, name != NULL, watch, err));
    TRY(tape_init(t, engine->be, 0, err));
out:
    return status;
}

void evaluation_close(evaluation_job *job) {
    tape_free(job->t);
    dataset_close(job->d);
}

int evaluation_fits(const evaluation_job *job, const pcv_settings *settings, pcv_error *err) {
    static const char *const flags[] = {"examples", "seed"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags && !job->d->generated; i++)
        if (settings_get(settings, flags[i]))
            return fail(err, PCV_USAGE, "--%s: is of generated documents, but those of %s are prepared; --tokens "
                        "scores a part of them", flags[i], job->d->name);
    return 0;
}

static int evaluate_with(int64_t *confusion, pcv_engine *engine, const char *name, const pcv_settings *settings,
                         const pcv_watch *watch, pcv_evaluation *result, pcv_error *err) {
    eval_config c;
    tape t = {0};
    evaluation_job job = {.t = &t};
    int status = 0;
    TRY(settings_eval(settings, &c, err));
    TRY(evaluation_open(&job, &c, &t, engine, name, watch, err));
    TRY(evaluation_fits(&job, settings, err));
    job.contexts = !job.d->generated;
    job.confusion = confusion;
    TRY(evaluate(&job, result, err));
out:
    evaluation_close(&job);
    return status;
}

int evaluate_split(pcv_engine *engine, const char *name, const pcv_settings *settings, const pcv_watch *watch,
                   pcv_evaluation *result, pcv_error *err) {
    return evaluate_with(NULL, engine, name, settings, watch, result, err);
}

int evaluate_confusion(pcv_engine *engine, const char *name, const pcv_settings *settings, const pcv_watch *watch,
                       pcv_evaluation *result, int64_t **counts, const char *const **names, pcv_error *err) {
    *counts = NULL;
    *names = (const char *const *)engine->class_name;
    if (!engine->classes)
        return fail(err, PCV_USAGE, "%s: this run tells no classes apart, of which -o writes a table; a curve takes "
                    "--sweep, too", engine->run);
    int status = mem_get(counts, (size_t)(engine->classes * engine->classes) * sizeof **counts, "a table", err);
    if (!status) status = evaluate_with(*counts, engine, name, settings, watch, result, err);
    if (!status) return 0;
    mem_free(*counts);
    *counts = NULL;
    return status;
}
