#include "train/evaluate.h"
#include "base/clock.h"
#include "cpu/cpu.h"
#include "config/settings.h"
#include "gen/engine.h"

#include <math.h>
#include <string.h>

enum { CONTEXT_WINDOWS = 48, FIRST_BUCKET = 512 };

/* Sums over targets. Targets of one window are correlated, so the standard error treats windows as the
 * independent units: with window sums s_b over n_b targets and mean m, var = sum (s_b - n_b m)^2 / n^2. */
typedef struct tally {
    int64_t tokens, hits, bytes;
    double loss, bytes_loss;
    double ss, sn, nn; /* sums over windows of s^2, s n, n^2 */
} tally;

typedef struct batch_buffer {
    int64_t rows, capacity, length; /* length: tokens of a row at most */
    int64_t positions;              /* latent positions of the pass that was run */
    window *w;
    int32_t *ids, *targets;
    sequence *row;
    float *loss;
} batch_buffer;

int evaluate_defaults(eval_config *c, const model_config *m, pcv_error *err) {
    int64_t group = m->latents_per_position;
    if (!c->context) c->context = m->context;
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
    if (c->context > MOST_TOKENS / c->batch)
        return fail(err, PCV_CONFIG, "--batch times --context: %lld times %lld is more than %d tokens at once",
                    (long long)c->batch, (long long)c->context, MOST_TOKENS);
    int64_t positions = c->latents / group;
    if (!c->stride) c->stride = positions / 2 ? positions / 2 : 1;
    if (c->stride > positions)
        return fail(err, PCV_CONFIG, "--stride: %lld, but one pass scores at most %lld targets",
                    (long long)c->stride, (long long)positions);
    return 0;
}

/* ------------------------------------------------------------------ batches */

static void buffer_close(batch_buffer *b) {
    mem_free(b->w);
    mem_free(b->ids);
    mem_free(b->targets);
    mem_free(b->row);
    mem_free(b->loss);
}

static int buffer_open(batch_buffer *b, const eval_config *c, int64_t positions, pcv_error *err) {
    *b = (batch_buffer){.capacity = c->batch, .length = c->context + 1};
    size_t rows = (size_t)c->batch;
    int status = 0;
    TRY(mem_get(&b->w, rows * sizeof *b->w, "evaluation", err));
    TRY(mem_get(&b->ids, rows * (size_t)b->length * sizeof *b->ids, "evaluation", err));
    TRY(mem_get(&b->targets, rows * (size_t)positions * sizeof *b->targets, "evaluation", err));
    TRY(mem_get(&b->row, rows * sizeof *b->row, "evaluation", err));
    TRY(mem_get(&b->loss, rows * (size_t)positions * LOSS_COLUMNS * sizeof *b->loss, "evaluation", err));
out:
    if (status) buffer_close(b);
    return status;
}

/* Target of latent position u of row r: -1 where it is not one of the scored. */
static void fill_targets(const batch_buffer *b) {
    for (int64_t r = 0; r < b->rows; r++) {
        int64_t inputs = b->w[r].count - 1;
        for (int64_t u = 0; u < b->positions; u++) {
            int64_t at = inputs - b->positions + u;
            bool scored = at >= 0 && at >= inputs - b->w[r].scored;
            b->targets[r * b->positions + u] = scored ? b->ids[r * b->length + at + 1] : -1;
        }
    }
}

/* Runs the rows of the buffer; afterwards b->loss holds (loss, hit) of every latent position. */
static int run_batch(const evaluation_job *job, batch_buffer *b, pcv_error *err) {
    int64_t group = job->m->config.latents_per_position, longest = 0;
    for (int64_t r = 0; r < b->rows; r++) {
        int64_t inputs = b->w[r].count - 1;
        b->row[r] = (sequence){.ids = b->ids + r * b->length, .length = inputs};
        b->row[r].before = window_position(job->d, (split_name)job->config->split, &b->w[r], job->m->config.context);
        if (inputs > longest) longest = inputs;
    }
    b->positions = job->config->latents / group;
    if (b->positions > longest) b->positions = longest;
    fill_targets(b);
    tape_reset(job->t);
    model_input in = {.batch = b->rows, .rows = b->row, .latents = b->positions * group};
    tensor *hidden = model_hidden(job->t, job->m, &in);
    tensor *loss = model_loss(job->t, job->m, hidden, &(model_targets){.ids = b->targets});
    tape_read(job->t, loss, b->loss);
    if (!job->t->status) return 0;
    return fail(err, PCV_MEMORY, "not enough memory to evaluate; lower --context, --latents or --batch");
}

/* ------------------------------------------------------------------ tallies */

static pcv_bucket *bucket_of(pcv_evaluation *e, int64_t position) {
    int i = 0;
    int64_t from = 0, to = FIRST_BUCKET;
    for (; position >= to && i < PCV_BUCKETS - 1; i++) {
        from = to;
        to *= 2;
    }
    for (; e->positions <= i; e->positions++) e->position[e->positions].to = 0;
    e->position[i].from = from;
    e->position[i].to = to;
    return &e->position[i];
}

typedef struct bucket_sums {
    double squares[PCV_BUCKETS];
} bucket_sums;

/* Adds row r of a batch. e NULL: no buckets. */
static void add_row(const evaluation_job *job, const batch_buffer *b, int64_t r, tally *t,
                    pcv_evaluation *e, bucket_sums *sums) {
    int64_t positions = b->positions;
    const window *w = &b->w[r];
    double sum = 0;
    int64_t count = 0;
    for (int64_t u = 0; u < positions; u++) {
        int64_t i = r * positions + u;
        if (b->targets[i] < 0) continue;
        double loss = (double)b->loss[i * LOSS_COLUMNS + LOSS_NATS];
        size_t size;
        job->d->tokens.type->piece(&job->d->tokens, b->targets[i], &size);
        sum += loss;
        count++;
        t->bytes += (int64_t)size;
        t->hits += b->loss[i * LOSS_COLUMNS + LOSS_HIT] > 0;
        if (!e) continue;
        pcv_bucket *k = bucket_of(e, w->from + w->count - positions + u);
        k->tokens++;
        k->loss += loss;
        sums->squares[k - e->position] += loss * loss;
    }
    t->tokens += count;
    t->loss += sum;
    t->ss += sum * sum;
    t->sn += sum * (double)count;
    t->nn += (double)count * (double)count;
}

static double tally_error(const tally *t) {
    if (t->tokens == 0) return 0;
    double n = (double)t->tokens, mean = t->loss / n;
    double variance = (t->ss - 2 * mean * t->sn + mean * mean * t->nn) / (n * n);
    return sqrt(variance > 0 ? variance : 0);
}

/* ------------------------------------------------------------------ passes */

static int report(const evaluation_job *job, double done, double total, double start, int64_t tokens,
                  pcv_error *err) {
    if (!job->watch || !job->watch->progress) return 0;
    double seconds = clock_now() - start;
    pcv_progress p = {.stage = "evaluating", .done = done, .total = total, .seconds = seconds,
                      .rate = seconds > 0 ? (double)tokens / seconds : 0, .unit = "tokens"};
    if (job->watch->progress(job->watch->context, &p) == PCV_STOP)
        return fail(err, PCV_INTERRUPTED, "interrupted");
    return 0;
}

static int flush(const evaluation_job *job, batch_buffer *b, tally *t, pcv_evaluation *e,
                 bucket_sums *sums, pcv_error *err) {
    int status = b->rows ? run_batch(job, b, err) : 0;
    for (int64_t r = 0; r < b->rows && !status; r++) add_row(job, b, r, t, e, sums);
    b->rows = 0;
    return status;
}

static int push(const evaluation_job *job, batch_buffer *b, const window *w, pcv_error *err) {
    b->w[b->rows] = *w;
    return window_read(job->d, (split_name)job->config->split, w, b->ids + b->rows++ * b->length, err);
}

static int score_split(const evaluation_job *job, batch_buffer *b, tally *t, pcv_evaluation *e,
                       pcv_error *err) {
    const eval_config *c = job->config;
    block_plan plan;
    window w;
    bucket_sums sums = {{0}};
    int status = 0;
    double start = clock_now();
    block_open(&plan, job->d, (split_name)c->split, c->context, c->stride, c->examples);
    int64_t wanted = c->tokens ? (c->tokens + c->stride - 1) / c->stride : plan.count, document = -1;
    if (wanted > plan.count) wanted = plan.count;
    for (int64_t i = 0; block_next(&plan, &w); i++) {
        /* window i is one of `wanted` spread evenly over all */
        if ((i + 1) * wanted / plan.count == i * wanted / plan.count) continue;
        e->documents += w.document != document;
        document = w.document;
        TRY(push(job, b, &w, err));
        if (b->rows == b->capacity) {
            TRY(flush(job, b, t, e, &sums, err));
            TRY(report(job, (double)(i + 1), (double)plan.count, start, t->tokens, err));
        }
    }
    TRY(flush(job, b, t, e, &sums, err));
    for (int i = 0; i < e->positions; i++) {
        pcv_bucket *k = &e->position[i];
        double n = (double)k->tokens, mean = n > 0 ? k->loss / n : 0;
        k->loss = mean;
        k->standard_error = n > 0 ? sqrt(fmax(sums.squares[i] / n - mean * mean, 0) / n) : 0;
    }
out:
    return status;
}

/* The prefix lengths to compare: the latents alone, then doubling up to the whole context. */
static int context_lengths(const eval_config *c, int64_t positions, int64_t length[PCV_BUCKETS]) {
    int count = 0;
    for (int64_t n = positions; count < PCV_BUCKETS; n *= 2) {
        length[count++] = n < c->context ? n : c->context;
        if (n >= c->context) break;
    }
    return count;
}

static int score_prefixes(const evaluation_job *job, batch_buffer *b, const window *w,
                          const int64_t *length, int lengths, tally *t, pcv_error *err) {
    for (int k = 0; k < lengths; k++) {
        window part = *w;
        part.count = length[k] + 1;
        part.from = w->from + w->count - part.count;
        int status = push(job, b, &part, err);
        if (!status) status = flush(job, b, &t[k], NULL, NULL, err);
        if (status) return status;
    }
    return 0;
}

/* The same targets behind prefixes of growing length: what a longer context buys. Up to CONTEXT_WINDOWS
 * windows that have the whole context in front of them, spread evenly. */
static int score_contexts(const evaluation_job *job, batch_buffer *b, pcv_evaluation *e,
                          pcv_error *err) {
    const eval_config *c = job->config;
    int64_t length[PCV_BUCKETS], eligible = 0, i = 0;
    int lengths = context_lengths(c, c->latents / job->m->config.latents_per_position, length);
    tally t[PCV_BUCKETS] = {{0}};
    block_plan plan;
    window w;
    int status = 0;
    double start = clock_now();
    block_open(&plan, job->d, (split_name)c->split, c->context, c->stride, c->examples);
    while (block_next(&plan, &w)) eligible += w.count - 1 >= c->context;
    int64_t wanted = eligible < CONTEXT_WINDOWS ? eligible : CONTEXT_WINDOWS;
    if (wanted == 0) return 0;
    block_open(&plan, job->d, (split_name)c->split, c->context, c->stride, c->examples);
    while (block_next(&plan, &w)) {
        if (w.count - 1 < c->context) continue;
        i++;
        if (i * wanted / eligible == (i - 1) * wanted / eligible) continue;
        TRY(score_prefixes(job, b, &w, length, lengths, t, err));
        TRY(report(job, (double)i, (double)eligible, start, t[0].tokens * lengths, err));
    }
    for (int k = 0; k < lengths; k++)
        e->context_length[e->contexts++] = (pcv_bucket){length[k], length[k], t[k].tokens,
                                                        t[k].loss / (double)t[k].tokens, tally_error(&t[k])};
out:
    return status;
}

int evaluate(const evaluation_job *job, pcv_evaluation *e, pcv_error *err) {
    const eval_config *c = job->config;
    const double ln2 = 0.69314718055994531;
    batch_buffer b;
    tally t = {0};
    int64_t positions = c->latents / job->m->config.latents_per_position;
    *e = (pcv_evaluation){.latents = c->latents, .context = c->context, .stride = c->stride};
    double start = clock_now();
    int status = buffer_open(&b, c, positions, err);
    if (status) return status;
    bool recording = job->t->recording, training = job->t->training;
    job->t->recording = job->t->training = false;
    TRY(score_split(job, &b, &t, e, err));
    if (t.tokens == 0) {
        status = fail(err, PCV_DATA, "%s: the %s split has nothing to score", job->d->name,
                      split_names[c->split]);
        goto out;
    }
    e->seconds = clock_now() - start;
    if (job->contexts && c->context > positions) TRY(score_contexts(job, &b, e, err));
    e->tokens = t.tokens;
    e->bytes = t.bytes;
    e->loss = t.loss / (double)t.tokens;
    e->standard_error = tally_error(&t);
    e->bits_per_token = e->loss / ln2;
    e->bits_per_byte = t.bytes ? t.loss / ln2 / (double)t.bytes : 0;
    e->standard_error_bits = t.bytes ? e->standard_error / ln2 * (double)t.tokens / (double)t.bytes : 0;
    e->perplexity = exp(e->loss);
    e->accuracy = (double)t.hits / (double)t.tokens;
    if (!isfinite(e->loss)) status = fail(err, PCV_NUMERIC, "the loss is not finite");
out:
    job->t->recording = recording;
    job->t->training = training;
    buffer_close(&b);
    return status;
}

int pcv_evaluate(pcv_engine *engine, const char *name, const pcv_settings *settings,
                 const pcv_watch *watch, pcv_evaluation *result, pcv_error *err) {
    eval_config c;
    dataset *d = NULL;
    tape t = {0};
    int status = 0;
    TRY(settings_eval(settings, &c, err));
    TRY(evaluate_defaults(&c, &engine->m->config, err));
    TRY(dataset_open(&d, name ? name : engine->dataset, (uint64_t)c.seed, err));
    if (d->tokens.type != engine->tokens.type) {
        status = fail(err, PCV_DATA, "%s: tokenizer %s, but the run was trained with %s", d->name,
                      d->tokens.type->name, engine->tokens.type->name);
        goto out;
    }
    TRY(tape_init(&t, engine->be, 0, err));
    TRY(evaluate(&(evaluation_job){.t = &t, .m = engine->m, .d = d, .config = &c, .watch = watch,
                                   .contexts = !d->generated}, result, err));
out:
    tape_free(&t);
    dataset_close(d);
    return status;
}
