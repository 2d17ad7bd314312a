/* How a training gets on: validations, samples, the report. */
#include "base/text.h"
#include "config/run_files.h"
#include "eval/confusion.h"
#include "eval/evaluate.h"
#include "eval/showing.h"
#include "gen/document.h"
#include "report/report.h"
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEAST_TARGETS = 1000, LEAST_EXAMPLES = 100, GENERATED_EXAMPLES = 500 };
enum { VALIDATIONS = 10 }; /* in a run, unless --eval-every says otherwise */
enum { PROMPT = 128, SAMPLE = 256, SAMPLE_SECONDS = 2, SAMPLE_MOST = 16000 }; /* tokens, but for the seconds */

/* Evaluates or samples with the averaged weights, where there are any. */
static void use_average(trainer *r, bool on) {
    if (r->o.average.data)
        parameters_point(&r->m->params, on ? r->o.average : r->m->params.values);
}

/* A validation chooses weights where it can tell them apart. What a target costs varies about as much as its mean is
 * large, so that N targets know that mean to one part in sqrt(N): LEAST_TARGETS to 3 %. Fewer are told apart by chance,
 * or by how little they are like the rest of the data; generated ones are like it. Their standard error, which takes
 * two windows at least, must be known, too, and not be above all that the validations of this run differ by. Where a
 * validation cannot judge, the newest weights are kept, and why is said once. */
static bool can_judge(trainer *r, const pcv_evaluation *e) {
    double bits = e->bits_per_token, error = e->standard_error * model_loss_unit(&r->mc)->factor;
    const long long tokens = (long long)e->tokens;
    run_state *s = &r->state;
    bool first = s->highest == 0;
    char why[192] = "";
    s->lowest = first ? bits : fmin(s->lowest, bits);
    s->highest = fmax(s->highest, bits);
    if (!isfinite(error)) snprintf(why, sizeof why, "%lld targets in one piece have no standard error", tokens);
    else if (r->d->classes && tokens < LEAST_EXAMPLES)
        snprintf(why, sizeof why, "%lld examples, fewer than %d", tokens, LEAST_EXAMPLES);
    else if (tokens < LEAST_TARGETS && !r->d->generated && !r->d->classes)
        snprintf(why, sizeof why, "%lld targets, fewer than %d", tokens, LEAST_TARGETS);
    else if (!first && error > s->highest - s->lowest)
        snprintf(why, sizeof why, "the standard error of its %lld targets, %.4f%s, is above the %.4f by which "
                 "the validations differ", tokens, error, r->mc.loss == LOSS_CROSS_ENTROPY ? " bits" : "",
                 s->highest - s->lowest);
    if (!why[0]) return true;
    if (!r->small_said) trainer_say(r, "the validation is too small to judge: %s; the newest weights are kept", why);
    r->small_said = true;
    return false;
}

/* *best says whether its weights are to be kept. */
static int validate(trainer *r, bool *best, pcv_error *err) {
    eval_config c;
    pcv_evaluation e;
    *best = false;
    int status = settings_eval(NULL, &c, err);
    if (status) return status;
    c.split = SPLIT_VALIDATION;
    c.tokens = r->c.eval_tokens;
    c.seed = r->c.seed + 1000003; /* generated documents that training never sees */
    c.stride = r->mc.latents / r->mc.latents_per_position;
    if (r->m->type->answers) c.batch = r->c.batch;
    if (r->m->type->answers && r->d->generated) c.examples = GENERATED_EXAMPLES;
    status = evaluate_defaults(&c, &r->mc, err);
    if (status) return status;
    uint64_t seed = r->d->seed;
    r->d->seed = (uint64_t)c.seed;
    const size_t cells = r->confusion ? (size_t)(r->d->classes * r->d->classes) : 0;
    if (cells) memset(r->confusion, 0, cells * sizeof *r->confusion);
    use_average(r, true);
    status = evaluate(&(evaluation_job){.t = &r->t, .m = r->m, .d = r->d, .config = &c, .confusion = r->confusion}, &e,
                      err);
    use_average(r, false);
    r->d->seed = seed;
    if (status == PCV_NUMERIC)
        return fail(err, status, "after update %lld the validation loss is not finite; %s; " TRY_LOWER,
                    (long long)r->state.step, trainer_kept(r));
    if (status == PCV_DATA) { /* no validation text: not an error of training */
        r->validation_bits = 0;
        return 0;
    }
    if (status) return status;
    r->validation_bits = e.bits_per_token;
    r->judged = can_judge(r, &e);
    *best = !r->judged || r->state.best_bits == 0 || e.bits_per_token < r->state.best_bits;
    const loss_unit *unit = model_loss_unit(&r->mc);
    bool chances = r->mc.loss == LOSS_CROSS_ENTROPY; /* of which there is a likeliest, right or wrong */
    metric list[4] = {{"validation_loss", e.loss}};
    int count = 1;
    if (chances) list[count++] = (metric){"validation_bits_per_token", e.bits_per_token};
    if (chances) list[count++] = (metric){"validation_accuracy", e.accuracy};
    list[count++] = (metric){"validation_error", e.standard_error};
    metrics_write(&r->log, r->state.step, list, count);
    char error[64] = "standard error undefined: one window";
    if (isfinite(e.standard_error)) snprintf(error, sizeof error, "+- %.4f", e.standard_error * unit->factor);
    char accuracy[64] = "";
    if (chances) snprintf(accuracy, sizeof accuracy, ", accuracy %.1f %%", 100 * e.accuracy);
    trainer_say(r, "update %lld: validation %.4f %s (%s)%s%s", (long long)r->state.step, e.bits_per_token, unit->name,
                error, accuracy, !r->judged ? ", not judged" : *best ? ", best so far" : "");
    if (!*best) return 0;
    r->state.best_bits = e.bits_per_token;
    r->state.best_step = r->state.step;
    return 0;
}

/* ------------------------------------------------------------------ samples */

/* A file of the samples' folder: its path, and its name within the run. */
static int sample_path(const trainer *r, const char *extension, char name[128], char path[PATH_SIZE], pcv_error *err) {
    char folder[PATH_SIZE];
    snprintf(name, 128, RUN_SAMPLES "/" CHECKPOINT "%08lld%s", (long long)r->state.step, extension);
    int status = path_join(folder, r->options->run, RUN_SAMPLES, err);
    if (!status) status = path_own(path, r->options->run, name, err);
    return status ? status : folder_make_in(folder, err);
}

/* A fresh document as a file of the run. */
static int sample_file(trainer *r, pcv_error *err) {
    char name[128], path[PATH_SIZE];
    const tokenizer *t = &r->d->tokens;
    sample_config c;
    decoder d = {0};
    int status = 0;
    TRY(sample_path(r, t->type->extension, name, path, err));
    TRY(settings_sample(NULL, &c, err));
    if (t->second > 0) c.length = (int64_t)fmin(SAMPLE_SECONDS * t->second, SAMPLE_MOST);
    TRY(decoder_open(&d, r->m, err));
    TRY(document_sample(&d, t, &c, path, err));
    metrics_sample_file(&r->log, r->state.step, name);
out:
    decoder_close(&d);
    return status;
}

/* Text that continues a piece of the validation split, into the record. */
static int sample_text(trainer *r, pcv_error *err) {
    pcv_session s = {0};
    decoder d = {0};
    sample_config c;
    text out = {0};
    int32_t prompt[PROMPT], id;
    int status = 0;
    int64_t length = dataset_length(r->d, SPLIT_VALIDATION, 0), count = length - 2 < PROMPT ? length - 2 : PROMPT;
    if (count < 0) return 0;
    TRY(settings_sample(NULL, &c, err));
    int64_t from = 1 + (length - 2 - count) / 2;
    TRY(dataset_read(r->d, SPLIT_VALIDATION, 0, from, count, prompt, err));
    TRY(decoder_open(&d, r->m, err));
    TRY(session_start(&s, &d, &r->d->tokens, &c, err));
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
    if (text_ok(&out)) metrics_sample(&r->log, r->state.step, out.data, out.size);
out:
    session_stop(&s);
    decoder_close(&d);
    text_free(&out);
    return status;
}

/* What a model that answers says of a few examples of the validation split; of classes, which was taken for which. */
static int sample_answers(trainer *r, pcv_error *err) {
    const char *extension = shows_picture(r->d) ? ".png" : ".svg";
    char name[128], path[PATH_SIZE];
    picture sheet = {0};
    text out = {0};
    int status = 0;
    if (shows_text(r->d, &r->mc)) {
        TRY(show_text(r->m, &r->t, r->d, SPLIT_VALIDATION, &out, err));
        if (text_ok(&out)) metrics_sample(&r->log, r->state.step, out.data, out.size);
        goto out;
    }
    if (!shows_picture(r->d) && !r->confusion) return 0;
    TRY(sample_path(r, extension, name, path, err));
    if (shows_picture(r->d)) {
        TRY(show_picture(r->m, &r->t, r->d, SPLIT_VALIDATION, &sheet, err));
        TRY(picture_write(&sheet, path, err));
    } else TRY(confusion_write(path, r->confusion, (const char *const *)r->d->class_name, r->d->classes, err));
    metrics_sample_file(&r->log, r->state.step, name);
out:
    picture_free(&sheet);
    text_free(&out);
    return status;
}

/* A sample that cannot be made or written is no reason to end a training. */
static void write_sample(trainer *r) {
    bool whole = r->d->tokens.type->write != NULL;
    pcv_error reason;
    const bool answers = r->m->type->answers;
    if ((r->d->generated && !answers) || dataset_documents(r->d, SPLIT_VALIDATION) == 0) return;
    use_average(r, true);
    int status = answers ? sample_answers(r, &reason) : whole ? sample_file(r, &reason) : sample_text(r, &reason);
    use_average(r, false);
    if (status && !r->no_samples)
        trainer_say(r, "update %lld: no sample: %s; training goes on", (long long)r->state.step, reason.message);
    if (status) r->no_samples = true;
}

void trainer_report(trainer *r) {
    pcv_error reason;
    int status = report_write(r->options->run, &reason);
    if (status && !r->no_report)
        trainer_say(r, "update %lld: no report: %s; training goes on", (long long)r->state.step, reason.message);
    if (status) r->no_report = true;
}

/* ------------------------------------------------------------------ when */

int trainer_validations(const trainer *r) { return (int)(trainer_share(r) * VALIDATIONS + 1e-9); }

/* The best validation is the best of those whose weights are there; where they could not be saved, the one before. */
static int keep(trainer *r, bool last, bool best, const run_state *before, pcv_error *err) {
    int status = 0;
    if (last) return trainer_save_last(r, err);
    if (best) status = trainer_save(r, err);
    if (!best || !r->failed_saves) return status;
    r->state.best_bits = before->best_bits;
    r->state.best_step = before->best_step;
    return status;
}

int trainer_look(trainer *r, bool last, pcv_error *err) {
    int due = trainer_validations(r);
    bool by_share = r->c.eval_every == 0 && due > r->validations;
    bool by_step = r->c.eval_every > 0 && r->state.step % r->c.eval_every == 0;
    bool evaluates = by_share || by_step || last;
    bool samples = r->c.sample_every ? r->state.step % r->c.sample_every == 0 : evaluates;
    bool best = false;
    const run_state before = r->state;
    int status = 0;
    r->validations = due;
    if (evaluates || samples) TRY(trainer_holds(r, err));
    if (evaluates) TRY(validate(r, &best, err));
    if (samples) write_sample(r); /* before it is saved, or who resumes from there would miss it */
    if (evaluates) TRY(keep(r, last, best, &before, err));
    if (evaluates) trainer_report(r);
out:
    return status;
}
