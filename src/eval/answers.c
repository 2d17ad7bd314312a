#include "eval/answers.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/watch.h"
#include "data/example.h"
#include "eval/films.h"
#include "eval/tally.h"

#include <math.h>

enum { BINS = 15, TOP = 5 };

/* Of numbers: sums over what is wanted of its distance from zeros, and from each example's own mean. */
typedef struct yardsticks {
    double zeros, means;
} yardsticks;

/* Of classes: what their probabilities say. */
typedef struct sureness {
    int64_t hits[BINS], top;
    double certainty[BINS];
} sureness;

int answers_defaults(eval_config *c, const model_config *m, pcv_error *err) {
    if (!c->context) c->context = m->context;
    if (!c->latents) c->latents = m->latents;
    c->stride = c->context;
    bool any = m->positions.kind == POSITION_NONE; /* inputs say where they are, or are a set */
    if (c->context != m->context && !any)
        return fail(err, PCV_CONFIG, "--context: %lld, but an example of this model has %lld inputs",
                    (long long)c->context, (long long)m->context);
    if (c->latents > m->latents)
        return fail(err, PCV_CONFIG, "--latents: %lld, but this model learned %lld", (long long)c->latents,
                    (long long)m->latents);
    return 0;
}

/* The likeliest class of logits [classes], its probability, and whether `right` is among the first TOP. */
static int64_t judge(const float *logits, int64_t classes, int64_t right, double *certainty, bool *in_top) {
    int64_t best = 0, before = 0;
    double sum = 0;
    for (int64_t k = 1; k < classes; k++)
        if (logits[k] > logits[best]) best = k;
    for (int64_t k = 0; k < classes; k++) {
        sum += exp((double)(logits[k] - logits[best]));
        before += logits[k] > logits[right];
    }
    *certainty = 1 / sum;
    *in_top = before < TOP;
    return best;
}

static int64_t count_answer(const evaluation_job *job, const float *logits, int64_t right, sureness *s) {
    int64_t classes = job->d->classes;
    double certainty;
    bool in_top;
    int64_t best = judge(logits, classes, right, &certainty, &in_top);
    int bin = certainty > 0 ? (int)fmin(certainty * BINS, BINS - 1) : 0; /* it may be no number */
    s->hits[bin] += best == right;
    s->certainty[bin] += certainty;
    s->top += in_top;
    if (job->confusion) job->confusion[right * classes + best]++;
    return best;
}

/* How far numbers are from others, as the loss of this name says. */
static double distance_between(int loss, const float *a, const double *b, int64_t count) {
    double sum = 0;
    for (int64_t k = 0; k < count; k++) {
        double d = (double)a[k] - b[k];
        sum += loss == LOSS_ABSOLUTE ? fabs(d) : d * d;
    }
    return loss == LOSS_END_POINT ? sqrt(sum) : sum / (double)count;
}

enum { MOST_NUMBERS = 16 }; /* of an answer that is measured so */

static void hold_against(const model_config *c, const sequence *row, int64_t outputs, yardsticks *y) {
    const int64_t K = model_outputs(c);
    double mean[MOST_NUMBERS] = {0}, zero[MOST_NUMBERS] = {0}, count = 0;
    if (!row->numbers) return;
    CHECK(K <= MOST_NUMBERS, "%lld numbers of an answer", (long long)K);
    for (int64_t i = 0; i < outputs; i++) {
        for (int64_t k = 0; k < K && row->wanted[i] >= 0; k++) mean[k] += (double)row->numbers[i * K + k];
        count += row->wanted[i] >= 0;
    }
    for (int64_t k = 0; k < K && count > 0; k++) mean[k] /= count;
    for (int64_t i = 0; i < outputs; i++) {
        if (row->wanted[i] < 0) continue;
        y->zeros += distance_between(c->loss, row->numbers + i * K, zero, K);
        y->means += distance_between(c->loss, row->numbers + i * K, mean, K);
    }
}

/* What an evaluation adds up. */
typedef struct sums {
    tally t;
    sureness s;
    yardsticks y;
    film_sums films;
    float *logits; /* of the classes of all rows that wait */
} sums;

/* The films that wait, one by one: all of their outputs are told. */
static int run_films(const evaluation_job *job, example_rows *rows, sums *all, pcv_error *err) {
    int status = 0;
    backend_pass_begin(job->m->be, PASS_SCORING);
    for (int64_t r = 0; r < rows->count && !status; r++) {
        const modality_row *classes = &rows->row[r].part[MODALITY_LABEL];
        double loss;
        status = film_measure(job->m, job->t, &rows->row[r], job->config->latents, &all->films, &loss, all->logits,
                              err);
        if (status) break;
        tally_window(&all->t, loss, 1);
        if (!job->d->classes) continue;
        int64_t best = count_answer(job, all->logits, classes->wanted[0], &all->s);
        all->t.hits += best == classes->wanted[0];
    }
    backend_pass_end(job->m->be, PASS_SCORING, (double)rows->count);
    rows->count = 0;
    return status;
}

/* One pass over the rows that wait. */
static int run(const evaluation_job *job, example_rows *rows, sums *all, pcv_error *err) {
    const int64_t classes = job->d->classes;
    tally *t = &all->t;
    float *logits = all->logits;
    int status = 0;
    if (!rows->count) return 0;
    if (rows->films.part) return run_films(job, rows, all, err);
    tape_begin(job->t);
    backend_pass_begin(job->m->be, PASS_SCORING);
    pass p = pass_over(job->m, rows->row, rows->count, job->config->latents);
    tensor *hidden = model_hidden(job->t, job->m, &p);
    if (classes) tape_read(job->t, model_logits(job->t, job->m, hidden), logits);
    const float *loss = loss_fetch(job->t, model_loss(job->t, job->m, hidden, &p, &(loss_spec){0}));
    backend_finish(job->m->be);
    for (int64_t r = 0; r < rows->count && loss && !job->t->status; r++) {
        double sum = 0;
        int64_t count = 0;
        for (int64_t i = r * p.positions; i < (r + 1) * p.positions; i++) {
            if (p.target[i] < 0) continue;
            sum += (double)loss[i * LOSS_COLUMNS + LOSS_NATS];
            t->hits += loss[i * LOSS_COLUMNS + LOSS_HIT] > 0;
            count++;
            if (classes) count_answer(job, logits + i * classes, p.target[i], &all->s);
        }
        tally_window(t, sum, count);
        hold_against(&job->m->config, &rows->row[r], p.positions, &all->y);
    }
    backend_pass_end(job->m->be, PASS_SCORING, (double)rows->count);
    status = tape_end(job->t, "to evaluate; lower --batch", err);
    rows->count = 0;
    return status;
}

static void fill_classes(const evaluation_job *job, const tally *t, const sureness *s, pcv_evaluation *e) {
    const dataset *d = job->d;
    split_name split = (split_name)job->config->split;
    int64_t documents = dataset_documents(d, split), most = 0, *number = NULL;
    double n = (double)t->tokens, apart = 0;
    e->classes = d->classes;
    e->accuracy_error = n > 1 ? sqrt(e->accuracy * (1 - e->accuracy) / (n - 1)) : NAN;
    e->accuracy_top5 = (double)s->top / n;
    for (int b = 0; b < BINS; b++) apart += fabs((double)s->hits[b] - s->certainty[b]);
    e->calibration = apart / n;
    e->majority = 1 / (double)d->classes;
    if (d->generated || mem_get(&number, (size_t)d->classes * sizeof *number, "classes", NULL)) return;
    for (int64_t i = 0; i < documents; i++) {
        int64_t *k = &number[d->type->label(d, split, i)];
        if (++*k > most) most = *k;
    }
    e->majority = (double)most / (double)documents;
    mem_free(number);
}

/* As many windows as hold about so many targets, spread evenly; 0: all. */
static int64_t windows_of(const evaluation_job *job, int64_t all) {
    const eval_config *c = job->config;
    double wanted = ceil((double)c->tokens / example_answers(job->d, &job->m->config, 0.15));
    return c->tokens && wanted < (double)all ? (int64_t)wanted : all;
}

static void fill_films(const model_config *c, const film_sums *f, pcv_evaluation *e) {
    const int AUDIO = MODALITY_AUDIO, IMAGE = MODALITY_IMAGE;
    e->numbers = false;
    e->film = true;
    e->image_psnr = film_psnr(f->squares[IMAGE], f->numbers[IMAGE]);
    e->image_psnr_mean = film_psnr(f->from_mean[IMAGE], f->numbers[IMAGE]);
    if (!c->modality[AUDIO].features) return;
    e->audio_psnr = film_psnr(f->squares[AUDIO], f->numbers[AUDIO]);
    e->audio_psnr_silence = film_psnr(f->from_zero[AUDIO], f->numbers[AUDIO]);
}

int answers_evaluate(const evaluation_job *job, pcv_evaluation *e, pcv_error *err) {
    const eval_config *c = job->config;
    split_name split = (split_name)c->split;
    const bool generated = job->d->generated;
    const int64_t all = generated ? c->examples : example_windows(job->d, split, &job->m->config);
    const int64_t some = windows_of(job, all);
    example_rows rows = {0};
    sums all_of = {.logits = NULL};
    const tally *t = &all_of.t;
    int status = 0;
    double start = clock_now();
    bool recording = job->t->recording, training = job->t->training;
    *e = (pcv_evaluation){.latents = c->latents, .context = c->context, .stride = c->stride};
    job->t->recording = job->t->training = false;
    TRY(example_rows_open(&rows, job->m, c->batch, c->context, false, err));
    const int64_t told = rows.films.part ? 1 : c->batch * rows.outputs; /* classes that are said at once */
    if (job->d->classes || rows.films.part)
        TRY(mem_get(&all_of.logits, (size_t)(told * model_classes(&job->m->config) + 1) * sizeof(float), "answers",
                    err));
    for (int64_t i = 0; i < some; i++) {
        int64_t number = some < all ? (int64_t)((double)i * (double)all / (double)some) : i;
        window w = example_at(job->d, split, &job->m->config, number);
        TRY(example_rows_read(&rows, job->d, split, &w, NULL, err));
        if (rows.count < rows.capacity && i + 1 < some) continue;
        TRY(run(job, &rows, &all_of, err));
        double seconds = clock_now() - start;
        pcv_progress p = {.stage = "evaluating", .done = (double)i + 1, .total = (double)some, .seconds = seconds,
                          .rate = seconds > 0 ? (double)(i + 1) / seconds : 0, .unit = "examples"};
        if (watch_ask(job->watch, &p) == PCV_STOP) {
            status = fail(err, PCV_INTERRUPTED, "interrupted");
            goto out;
        }
    }
    if (t->tokens == 0) {
        status = fail(err, PCV_DATA, "%s: the %s split has nothing to answer", job->d->name, split_names[c->split]);
        goto out;
    }
    e->seconds = clock_now() - start;
    e->tokens = t->tokens;
    bool is_text = !job->d->classes && !job->d->tokens.answers && !rows.films.part; /* whose windows are no documents */
    e->documents = is_text ? dataset_documents(job->d, split) : t->windows;
    e->loss = t->loss / (double)t->tokens;
    e->standard_error = tally_error(t);
    e->unit = model_loss_unit(&job->m->config)->name;
    e->bits_per_token = e->loss * model_loss_unit(&job->m->config)->factor;
    e->perplexity = exp(e->loss);
    e->accuracy = (double)t->hits / (double)t->tokens;
    e->numbers = job->m->config.loss != LOSS_CROSS_ENTROPY;
    e->of_zeros = all_of.y.zeros / (double)t->tokens;
    e->of_means = all_of.y.means / (double)t->tokens;
    if (job->d->classes) fill_classes(job, t, &all_of.s, e);
    if (rows.films.part) fill_films(&job->m->config, &all_of.films, e);
    if (!isfinite(e->loss)) status = job->engine ? engine_not_finite(job->engine, err)
                                                 : fail(err, PCV_NUMERIC, "the loss is not finite");
out:
    job->t->recording = recording;
    job->t->training = training;
    example_rows_close(&rows);
    mem_free(all_of.logits);
    return status;
}
