/* How a training gets on: validations, samples, the report. */
#include "base/text.h"
#include "config/run_files.h"
#include "gen/document.h"
#include "eval/evaluate.h"
#include "report/report.h"
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>

static const double LN2 = 0.69314718055994531;

enum { LEAST_TARGETS = 1000 };
enum { VALIDATIONS = 10 }; /* in a run, unless --eval-every says otherwise */
enum { PROMPT = 128, SAMPLE = 256, SAMPLE_SECONDS = 2, SAMPLE_MOST = 16000 }; /* tokens, but for the seconds */

/* Evaluates or samples with the averaged weights, where there are any. */
static void use_average(trainer *w, bool on) {
    if (w->o.average.data)
        parameters_point(&w->m->params, on ? w->o.average : w->m->params.values);
}

/* A validation chooses weights where it can tell them apart. What a target costs varies about as much as its mean is
 * large, so that N targets know that mean to one part in sqrt(N): LEAST_TARGETS to 3 %. Fewer are told apart by chance,
 * or by how little they are like the rest of the data; generated ones are like it. Their standard error, which takes
 * two windows at least, must be known, too, and not be above all that the validations of this run differ by. Where a
 * validation cannot judge, the newest weights are kept, and why is said once. */
static bool can_judge(trainer *w, const pcv_evaluation *e) {
    double bits = e->bits_per_token, error = e->standard_error / LN2;
    const long long tokens = (long long)e->tokens;
    run_state *s = &w->state;
    bool first = s->highest == 0;
    char why[192] = "";
    s->lowest = first ? bits : fmin(s->lowest, bits);
    s->highest = fmax(s->highest, bits);
    if (!isfinite(error)) snprintf(why, sizeof why, "%lld targets in one piece have no standard error", tokens);
    else if (tokens < LEAST_TARGETS && !w->d->generated)
        snprintf(why, sizeof why, "%lld targets, fewer than %d", tokens, LEAST_TARGETS);
    else if (!first && error > s->highest - s->lowest)
        snprintf(why, sizeof why, "the standard error of its %lld targets, %.4f bits, is above the %.4f by which the "
                 "validations differ", tokens, error, s->highest - s->lowest);
    if (!why[0]) return true;
    if (!w->small_said) trainer_say(w, "the validation is too small to judge: %s; the newest weights are kept", why);
    w->small_said = true;
    return false;
}

/* *best says whether its weights are to be kept. */
static int validate(trainer *w, bool *best, pcv_error *err) {
    eval_config c;
    pcv_evaluation e;
    *best = false;
    int status = settings_eval(NULL, &c, err);
    if (status) return status;
    c.split = SPLIT_VALIDATION;
    c.tokens = w->c.eval_tokens;
    c.seed = w->c.seed + 1000003; /* generated documents that training never sees */
    c.stride = w->mc.latents / w->mc.latents_per_position;
    status = evaluate_defaults(&c, &w->mc, err);
    if (status) return status;
    uint64_t seed = w->d->seed;
    w->d->seed = (uint64_t)c.seed;
    use_average(w, true);
    status = evaluate(&(evaluation_job){.t = &w->t, .m = w->m, .d = w->d, .config = &c}, &e, err);
    use_average(w, false);
    w->d->seed = seed;
    if (status == PCV_NUMERIC)
        return fail(err, status, "after update %lld the validation loss is not finite; %s; " TRY_LOWER,
                    (long long)w->state.step, trainer_kept(w));
    if (status == PCV_DATA) { /* no validation text: not an error of training */
        w->validation_bits = 0;
        return 0;
    }
    if (status) return status;
    w->validation_bits = e.bits_per_token;
    w->judged = can_judge(w, &e);
    *best = !w->judged || w->state.best_bits == 0 || e.bits_per_token < w->state.best_bits;
    metric list[] = {{"validation_loss", e.loss}, {"validation_bits_per_token", e.bits_per_token},
                     {"validation_accuracy", e.accuracy}, {"validation_error", e.standard_error}};
    metrics_write(&w->log, w->state.step, list, 4);
    char error[64] = "standard error undefined: one window";
    if (isfinite(e.standard_error)) snprintf(error, sizeof error, "+- %.4f", e.standard_error / LN2);
    trainer_say(w, "update %lld: validation %.4f bits per token (%s), accuracy %.1f %%%s", (long long)w->state.step,
                e.bits_per_token, error, 100 * e.accuracy,
                !w->judged ? ", not judged" : *best ? ", best so far" : "");
    if (!*best) return 0;
    w->state.best_bits = e.bits_per_token;
    w->state.best_step = w->state.step;
    return 0;
}

/* ------------------------------------------------------------------ samples */

/* A fresh document as a file of the run. */
static int sample_file(trainer *w, pcv_error *err) {
    char folder[PATH_SIZE], name[128], path[PATH_SIZE];
    const tokenizer *t = &w->d->tokens;
    sample_config c;
    decoder d = {0};
    int status = 0;
    snprintf(name, sizeof name, RUN_SAMPLES "/" CHECKPOINT "%08lld%s", (long long)w->state.step, t->type->extension);
    TRY(path_join(folder, w->options->run, RUN_SAMPLES, err));
    TRY(path_own(path, w->options->run, name, err));
    TRY(folder_make_in(folder, err));
    TRY(settings_sample(NULL, &c, err));
    if (t->second > 0) c.length = (int64_t)fmin(SAMPLE_SECONDS * t->second, SAMPLE_MOST);
    TRY(decoder_open(&d, w->m, err));
    TRY(document_sample(&d, t, &c, path, err));
    metrics_sample_file(&w->log, w->state.step, name);
out:
    decoder_close(&d);
    return status;
}

/* Text that continues a piece of the validation split, into the record. */
static int sample_text(trainer *w, pcv_error *err) {
    pcv_session s = {0};
    decoder d = {0};
    sample_config c;
    text out = {0};
    int32_t prompt[PROMPT], id;
    int status = 0;
    int64_t length = dataset_length(w->d, SPLIT_VALIDATION, 0), count = length - 2 < PROMPT ? length - 2 : PROMPT;
    if (count < 0) return 0;
    TRY(settings_sample(NULL, &c, err));
    int64_t from = 1 + (length - 2 - count) / 2;
    TRY(dataset_read(w->d, SPLIT_VALIDATION, 0, from, count, prompt, err));
    TRY(decoder_open(&d, w->m, err));
    TRY(session_start(&s, &d, &w->d->tokens, &c, err));
    TRY(session_feed(&s, prompt, (size_t)count, err));
    for (int64_t i = 0; i < count + SAMPLE; i++) {
        size_t size;
        if (i == count) text_add(&out, " | ");
        if (i < count) id = prompt[i];
        else TRY(session_next(&s, &id, err));
        if (id < 0) break;
        const char *piece = session_text(&s, id, &size);
        text_bytes(&out, piece, size);
    }
    if (text_ok(&out)) metrics_sample(&w->log, w->state.step, out.data, out.size);
out:
    session_stop(&s);
    decoder_close(&d);
    text_free(&out);
    return status;
}

/* A sample that cannot be made or written is no reason to end a training. */
static void write_sample(trainer *w) {
    bool whole = w->d->tokens.type->write != NULL;
    pcv_error reason;
    if (w->d->generated || dataset_documents(w->d, SPLIT_VALIDATION) == 0) return;
    use_average(w, true);
    int status = whole ? sample_file(w, &reason) : sample_text(w, &reason);
    use_average(w, false);
    if (status && !w->no_samples)
        trainer_say(w, "update %lld: no sample: %s; training goes on", (long long)w->state.step, reason.message);
    if (status) w->no_samples = true;
}

void trainer_report(trainer *w) {
    pcv_error reason;
    int status = report_write(w->options->run, &reason);
    if (status && !w->no_report)
        trainer_say(w, "update %lld: no report: %s; training goes on", (long long)w->state.step, reason.message);
    if (status) w->no_report = true;
}

/* ------------------------------------------------------------------ when */

int trainer_validations(const trainer *w) { return (int)(trainer_share(w) * VALIDATIONS + 1e-9); }

/* The best validation is the best of those whose weights are there; where they could not be saved, the one before. */
static int keep(trainer *w, bool last, bool best, const run_state *before, pcv_error *err) {
    int status = 0;
    if (last) return trainer_save_last(w, err);
    if (best) status = trainer_save(w, err);
    if (!best || !w->failed_saves) return status;
    w->state.best_bits = before->best_bits;
    w->state.best_step = before->best_step;
    return status;
}

int trainer_look(trainer *w, bool last, pcv_error *err) {
    int due = trainer_validations(w);
    bool by_share = w->c.eval_every == 0 && due > w->validations;
    bool by_step = w->c.eval_every > 0 && w->state.step % w->c.eval_every == 0;
    bool evaluates = by_share || by_step || last;
    bool samples = w->c.sample_every ? w->state.step % w->c.sample_every == 0 : evaluates;
    bool best = false;
    const run_state before = w->state;
    int status = 0;
    w->validations = due;
    if (evaluates || samples) TRY(trainer_holds(w, err));
    if (evaluates) TRY(validate(w, &best, err));
    if (samples) write_sample(w); /* before it is saved, or who resumes from there would miss it */
    if (evaluates) TRY(keep(w, last, best, &before, err));
    if (evaluates) trainer_report(w);
out:
    return status;
}
