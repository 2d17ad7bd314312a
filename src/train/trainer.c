/* Training: draw windows, accumulate gradients over batches, clip, update; and around that validation,
 * samples, records and checkpoints.
 *
 * Everything random is keyed by (seed, step), so the state of a run is its step number, weights and
 * moments, and a resumed run repeats the uninterrupted one bit for bit. A run limited by --minutes follows
 * the clock, and keeps what it took from it, so that it can be repeated too (pace.h). */
#include "train/train.h"
#include "config/run_files.h"
#include "train/trainer.h"
#include "base/clock.h"
#include "base/temporary.h"
#include "base/text.h"
#include "base/watch.h"
#include "model/applicable.h"
#include "model/config_file.h"
#include "train/begin.h"
#include "train/memory_plan.h"
#include "report/report.h"
#include "train/schedule.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BAD_STEPS = 10, GROW_MEMORY = 20 };

void trainer_say(const trainer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    watch_say_list(w->watch, format, args);
    va_end(args);
}

/* ------------------------------------------------------------------ opening */

double trainer_done(const trainer *w) {
    double steps = w->c.steps > 0 ? (double)w->state.step / (double)w->c.steps : 0;
    double time = w->c.minutes > 0 ? w->state.seconds / (60 * w->c.minutes) : 0;
    return steps > time ? steps : time;
}

/* Does the run go by a clock, its own or the one that a configuration has kept? */
static bool is_paced(const trainer *w) { return w->c.minutes > 0 || pace_is_kept(&w->c); }

double trainer_share(const trainer *w) {
    const field_ints *marks = w->c.minutes > 0 ? &w->state.marks : &w->c.pace;
    return is_paced(w) ? pace_at(marks->v, marks->count, w->state.step) : trainer_done(w);
}

/* Of the schedule, which begins behind the warm-up where the last update is known. */
static double progress_of(const trainer *w) {
    double span = (double)(w->c.steps - w->c.warmup);
    if (is_paced(w)) return trainer_share(w);
    return span > 0 ? (double)(w->state.step - w->c.warmup) / span : 1;
}

static int new_run(trainer *w, pcv_error *err) {
    int status = 0;
    if (path_exists(w->options->run)) {
        status = fail(err, PCV_CANTCREATE, "%s: exists already; go on with --resume, or choose another name",
                      w->options->run);
        goto out;
    }
    if (!w->options->dataset) {
        status = fail(err, PCV_USAGE, "no data set; name a folder that 'perceiver prepare' made");
        goto out;
    }
    TRY(settings_model(w->settings, &w->mc, err));
    TRY(settings_fit(w->settings, &w->mc, PCV_MODEL, err));
    TRY(settings_train(w->settings, &w->c, err));
    TRY(dataset_open(&w->d, w->options->dataset, (uint64_t)w->c.seed, err));
    if (!utf8_valid(w->d->name)) {
        status = fail(err, PCV_USAGE, "%s: the name is not UTF-8, so that config.json cannot hold it; rename the "
                      "data set", w->d->name);
        goto out;
    }
    TRY(dataset_shape(w->d, w->settings, &w->mc, err));
    TRY(model_config_check(&w->mc, err));
    char seed[128];
    snprintf(seed, sizeof seed, "%.9f %d", clock_wall(), (int)getpid());
    hash_bytes(seed, strlen(seed), w->run_id);
out:
    return status;
}

static int check_limits(const trainer *w, pcv_error *err) {
    if (w->c.steps == 0 && w->c.minutes == 0)
        return fail(err, PCV_USAGE, "no end in sight: give --steps or --minutes");
    if (w->c.start_length && w->mc.memory)
        return fail(err, PCV_CONFIG, "--start-length: segments that follow each other have one length");
    return 0;
}

static int open_model(trainer *w, pcv_error *err) {
    memory_plan plan;
    int status = 0;
    TRY(plan_memory(&w->mc, &w->c, &plan, err));
    TRY(plan_check(&plan, &w->mc, &w->c, err));
    TRY(step_backend(&w->be, &w->c, err));
    TRY(model_open(&w->m, &w->mc, w->be, true, err));
    if (w->d->tokens.axes) w->m->positions = (position_map){tokenizer_position, tokenizer_place, &w->d->tokens};
    w->m->recompute = w->c.recompute;
    TRY(model_init(w->m, (uint64_t)w->c.seed, err));
    if (w->c.begin == BEGIN_DATA) TRY(begin_with_data(w->m, w->d, (uint64_t)w->c.seed, err));
    TRY(optimizer_open(&w->o, &w->m->params, w->c.ema > 0, err));
    TRY(tape_init(&w->t, w->be, plan.tensors, err));
    w->t.seed = (uint64_t)w->c.seed;
    TRY(step_open(&w->buffer, w->m, w->c.batch, err));
    if (w->buffer.memory) TRY(stream_open(&w->streams, w->d, SPLIT_TRAIN, w->mc.context, err));
out:
    return status;
}

/* Sets how long the pieces are that are trained on, and with it how many an update needs. */
static int set_length(trainer *w, int64_t length, pcv_error *err) {
    int64_t positions = w->mc.latents / w->mc.latents_per_position;
    w->state.length = length < w->mc.context ? length : w->mc.context;
    dataset_resize(w->d, w->state.length);
    int64_t scored = w->state.length + 1 - w->d->first_target; /* a window has a token more than inputs */
    if (scored > positions) scored = positions;
    int64_t by_tokens = (w->mc.context + 1) / (w->state.length + 1), by_latents = positions / w->state.length;
    w->rows = w->c.batch; /* and more where they are short */
    if (by_latents > 1) w->rows *= by_latents < by_tokens ? by_latents : by_tokens;
    w->batches = w->c.total_batch ? (w->c.total_batch + w->rows * scored - 1) / (w->rows * scored) : 1;
    int status = mem_resize(&w->windows, (size_t)(w->batches * w->rows) * sizeof *w->windows, "a batch", err);
    if (status) return status;
    crop_close(&w->crops);
    if (w->buffer.memory) return 0;
    return crop_open(&w->crops, w->d, SPLIT_TRAIN, w->state.length,
                     w->c.min_crop ? w->c.min_crop + 1 : positions + 1, err);
}

/* Validations of another task, or of other data, are not compared. */
static void forget_validations(run_state *s) { s->best_bits = s->lowest = s->highest = 0; }

/* Longer pieces, once those of the present length are learned. */
static int grow(trainer *w, const loss_sum *sum, int64_t targets, pcv_error *err) {
    double now = (double)sum->hits / (double)(targets ? targets : 1);
    w->state.accuracy += (now - w->state.accuracy) / GROW_MEMORY;
    if (w->state.length >= w->mc.context || w->state.accuracy < w->c.grow_accuracy) return 0;
    int status = set_length(w, 2 * w->state.length, err);
    if (status) return status;
    trainer_say(w, "update %lld: accuracy %.1f %%; going on with pieces of %lld tokens", (long long)w->state.step,
        100 * w->state.accuracy, (long long)w->state.length);
    w->state.accuracy = 0;
    forget_validations(&w->state); /* of an easier task */
    return 0;
}

/* What this program writes into a run's folder beside checkpoints and samples. */
static const char *const run_files[] = {
    RUN_CONFIG, RUN_WEIGHTS, RUN_LOCK, RUN_METRICS, RUN_REPORT, "events.out.tfevents.*.perceiver.*",
    "nonfinite-*.txt", RUN_TOKENIZER, RUN_PIECES, RUN_CODEC, NULL};

/* Removes what a process that was killed left half written. */
static void sweep(const char *run) {
    static const char *const samples[] = {"step-*", NULL};
    char folder[PATH_SIZE];
    folder_sweep(run, run_files, NULL);
    if (!path_join(folder, run, RUN_SAMPLES, NULL)) folder_sweep(folder, samples, NULL);
    checkpoint_sweep(run);
}

/* The folder is made last, when nothing else can be wrong. */
static int open_folder(trainer *w, pcv_error *err) {
    char path[PATH_SIZE];
    const char *run = w->options->run;
    int status = 0;
    if (!w->options->resume) {
        TRY(folder_make_new(run, err));
        w->made = true;
    }
    TRY(folder_hold(&w->folder, run, err));
    TRY(path_join(path, run, RUN_LOCK, err));
    TRY(lock_take(&w->lock, path, err));
    if (w->options->resume) sweep(run);
out:
    return status;
}

static int write_config(trainer *w, pcv_error *err) {
    char path[PATH_SIZE];
    int status = 0;
    if (!w->extra) w->extra = json_object();
    if (json_object_set_new(w->extra, "format", json_string(RUN_FORMAT)) ||
        json_object_set_new(w->extra, "run", json_string(w->run_id)) ||
        json_object_set_new(w->extra, "dataset", json_string(utf8_valid(w->d->place) ? w->d->place : w->d->name)) ||
        json_object_set_new(w->extra, "meaning", json_string(w->d->meaning)) ||
        json_object_set_new(w->extra, "digest", json_string(w->d->digest)) ||
        json_object_set_new(w->extra, "kind", json_string(w->d->kind))) {
        status = fail(err, PCV_MEMORY, "not enough memory to write config.json");
        goto out;
    }
    TRY(path_own(path, w->options->run, RUN_CONFIG, err));
    TRY(config_write(path, &w->mc, &w->c, w->extra, err));
    TRY(tokenizer_save(&w->d->tokens, w->options->run, err));
out:
    return status;
}

static int restore(trainer *w, pcv_error *err) {
    w->owner = (checkpoint_owner){w->options->run, w->run_id, w->be->level,
                                  (uint64_t)w->c.seed, w->c.keep, w->m, w->buffer.memory};
    int status = 0;
    if (w->options->resume) {
        status = checkpoint_load(&w->owner, &w->o, &w->state, w->watch, err);
        if (status == PCV_NOINPUT) { /* stopped before the first one was written */
            trainer_say(w, "there is no checkpoint yet; starting from the beginning");
            status = 0;
        } else if (!status) {
            trainer_say(w, "resumed after update %lld", (long long)w->state.step);
            w->saved = w->state.step;
        }
    }
    if (status) return status;
    if (w->moved || strcmp(w->state.data, w->d->digest)) forget_validations(&w->state);
    if (w->moved || w->changed) w->state.changed = 1;
    memcpy(w->state.data, w->d->digest, sizeof w->d->digest);
    if (w->state.best_bits > 0 && w->state.best_step == w->state.step) status = trainer_publish(w, err);
    if (status) return status;
    if (w->state.length == 0) w->state.length = w->c.start_length ? w->c.start_length : w->mc.context;
    status = set_length(w, w->state.length, err);
    if (status) return status;
    if (w->c.minutes > 0) pace_mark(&w->state.marks, trainer_done(w), w->state.step);
    bool over = trainer_done(w) >= 1;
    if (w->options->resume && over)
        trainer_say(w, "the run is finished: %lld update%s in %.1f minutes; give more --steps or --minutes to go on",
                    (long long)w->state.step, plural(w->state.step), w->state.seconds / 60);
    w->last_save = w->state.seconds;
    w->validations = trainer_validations(w);
    w->validation_bits = w->state.best_bits;
    int64_t looks = over ? w->state.step - 1 : w->state.step; /* its end is looked at once more */
    return metrics_open(&w->log, w->options->run, w->state.step, looks, w->watch, err);
}

/* ------------------------------------------------------------------ one update */

static int64_t draw_windows(trainer *w) {
    rng r = rng_make((uint64_t)w->c.seed, RNG_CROP, (uint32_t)w->state.step);
    int64_t targets = 0;
    for (int64_t i = 0; i < w->batches * w->rows; i++) {
        int64_t turn = w->state.step * w->batches + i / w->rows;
        if (w->buffer.memory) w->windows[i] = stream_at(&w->streams, i % w->rows, w->rows, turn);
        else w->windows[i] = crop_draw(&w->crops, &r);
        targets += step_targets(&w->mc, &w->windows[i]);
    }
    return targets;
}

/* What a step that is not finite was trained on, for whoever looks into it. */
static void dump_windows(const trainer *w) {
    char path[PATH_SIZE], name[64];
    text t = {0};
    snprintf(name, sizeof name, "nonfinite-%08lld.txt", (long long)w->state.step);
    text_add(&t, "document\tfrom\tcount\n");
    for (int64_t i = 0; i < w->batches * w->rows; i++)
        text_add(&t, "%lld\t%lld\t%lld\n", (long long)w->windows[i].document, (long long)w->windows[i].from,
                 (long long)w->windows[i].count);
    if (text_ok(&t) && !path_own(path, w->options->run, name, NULL)) file_write(path, t.data, t.size, NULL);
    text_free(&t);
}

static int not_finite(trainer *w, double loss, double norm, pcv_error *err) {
    w->state.skipped++;
    if (w->bad_steps++ == 0) {
        trainer_say(w, "update %lld: loss %g, gradient norm %g: not finite; the update is left out",
            (long long)w->state.step, loss, norm);
        dump_windows(w);
    }
    if (w->bad_steps < MOST_BAD_STEPS) return 0;
    return fail(err, PCV_NUMERIC, "the loss is not finite since update %lld; %s; " TRY_LOWER,
                (long long)w->state.step - MOST_BAD_STEPS + 1, trainer_kept(w));
}

static void record(trainer *w, double lr, double norm) {
    double now = clock_now(), elapsed = now - w->window_start;
    w->rate = elapsed > 0 ? (double)w->window_tokens / elapsed : 0;
    run_state *s = &w->state;
    double targets = (double)(s->line_targets ? s->line_targets : 1);
    w->loss = s->line_loss / targets;
    if (w->state.step % w->c.log_every && w->state.step != 1) return;
    metric list[] = {{"loss", w->loss}, {"bits_per_token", w->loss / 0.69314718055994531},
                     {"accuracy", (double)s->line_hits / targets}, {"length", (double)w->state.length}, {"lr", lr},
                     {"grad_norm", norm}, {"tokens_per_second", w->rate},
                     {"tokens", (double)w->state.tokens}, {"seconds", w->state.seconds}};
    metrics_write(&w->log, w->state.step, list, sizeof list / sizeof *list);
    w->window_start = now;
    w->window_tokens = s->line_targets = s->line_hits = 0;
    s->line_loss = 0;
}

/* An update may take minutes, so who wants the run to stop is heard between its passes. The update is left out then: it
 * has changed no weights yet. A memory has moved on, however, so there it is brought to its end. */
static bool stops_within(trainer *w, int64_t done) {
    if (done == 0 || w->wish == PCV_STOP || trainer_ask(w) != PCV_STOP) return false;
    if (w->half) trainer_say(w, "stopping when update %lld is done", (long long)w->state.step + 1);
    else trainer_say(w, "stopping; update %lld, which is not done, is left out", (long long)w->state.step + 1);
    return !w->half;
}

/* Gradients of all batches of an update. *whole: none is missing. */
static int run_passes(trainer *w, double scale, loss_sum *sum, bool *whole, pcv_error *err) {
    int status = 0;
    *whole = false;
    parameters_clear_grads(&w->m->params);
    w->t.step = (uint32_t)w->state.step;
    for (int64_t k = 0; k < w->batches; k++) {
        const window *rows = w->windows + k * w->rows;
        if (stops_within(w, k)) goto out;
        TRY(step_read(&w->buffer, w->d, SPLIT_TRAIN, rows, w->rows, err));
        w->half = w->buffer.memory != NULL;
        TRY(step_run(&w->buffer, &w->t, w->m, &w->c, (uint32_t)k, scale, sum, err));
    }
    w->half = false;
    *whole = true;
out:
    return status;
}

static int update(trainer *w, bool *whole, pcv_error *err) {
    loss_sum sum = {0};
    int64_t targets = draw_windows(w);
    double scale = 1 / (double)(targets ? targets : 1);
    int status = run_passes(w, scale, &sum, whole, err);
    if (status || !*whole) return status;
    double norm = optimizer_grad_norm(&w->o), loss = sum.value * scale;
    double lr = schedule_rate(&w->c, w->state.step, progress_of(w));
    bool finite = isfinite(loss) && isfinite(norm);
    if (finite) {
        double clip = w->c.clip > 0 && norm > w->c.clip ? w->c.clip / norm : 1;
        optimizer_step(&w->o, &w->c, w->state.step, lr, clip);
        w->bad_steps = 0;
        w->state.line_loss += sum.loss;
        w->state.line_targets += targets;
        w->state.line_hits += sum.hits;
    }
    w->state.step++;
    w->state.tokens += targets;
    w->state.windows += w->batches * w->rows;
    w->state.seconds = clock_now() - w->started;
    if (w->c.minutes > 0) pace_mark(&w->state.marks, trainer_done(w), w->state.step);
    w->window_tokens += targets;
    if (!finite) status = not_finite(w, loss, norm, err);
    if (!status) record(w, lr, norm);
    return status ? status : grow(w, &sum, targets, err);
}

/* ------------------------------------------------------------------ the loop */

int trainer_ask(trainer *w) {
    char line[256];
    char validation[64] = "";
    if (w->validation_bits > 0) snprintf(validation, sizeof validation, ", validation %.4f bits", w->validation_bits);
    snprintf(line, sizeof line, "loss %.4f, %.4f bits%s, update %lld", w->loss, w->loss / 0.693147, validation,
             (long long)w->state.step); /* what matters most comes first, where a terminal is narrow */
    pcv_progress p = {.stage = "training", .done = trainer_done(w), .total = 1, .seconds = w->state.seconds,
                      .rate = w->rate, .unit = "tokens", .line = line};
    int wish = watch_ask(w->watch, &p);
    if (wish && w->wish != PCV_STOP) w->wish = wish;
    return w->wish;
}

static bool save_is_due(const trainer *w) {
    if (w->c.save_every > 0 && w->state.step % w->c.save_every == 0) return true;
    return w->c.save_minutes > 0 && w->state.seconds - w->last_save > 60 * w->c.save_minutes;
}

/* A run by the clock ends with what it takes to repeat it. */
static void end_time(trainer *w) {
    char path[PATH_SIZE], again[PATH_SIZE + 128] = "";
    const long long step = (long long)w->state.step;
    if (w->c.minutes == 0) return;
    pace_keep(&w->c, &w->state.marks, w->state.step);
    bool kept = !w->state.changed && !path_own(path, w->options->run, RUN_CONFIG, NULL) &&
                !config_write(path, &w->mc, &w->c, w->extra, NULL);
    if (kept) snprintf(again, sizeof again, "; the same weights again: --config %s --steps %lld", path, step);
    if (w->c.steps == 0 || w->state.step < w->c.steps)
        trainer_say(w, "after update %lld the time of %g minutes is over%s", step, w->c.minutes, again);
    else trainer_say(w, "update %lld is the last one%s", step, again);
}

static int finish(trainer *w, pcv_error *err) {
    bool over = trainer_done(w) >= 1;
    int status = over ? trainer_look(w, true, err) : trainer_save_last(w, err);
    if (status) return status;
    if (over) {
        end_time(w);
        return 0;
    }
    trainer_report(w);
    return fail(err, PCV_INTERRUPTED, "stopped after update %lld; saved, go on with --resume",
                (long long)w->state.step);
}

static int loop(trainer *w, pcv_error *err) {
    int status = 0;
    w->started = clock_now() - w->state.seconds;
    w->window_start = clock_now();
    for (bool whole = true; whole && trainer_done(w) < 1 && w->wish != PCV_STOP;) {
        backend_pass_begin(w->be, PASS_UPDATE);
        TRY(update(w, &whole, err));
        backend_pass_end(w->be, PASS_UPDATE, 1);
        double before = clock_now();
        if (whole && trainer_done(w) < 1) TRY(trainer_look(w, false, err));
        bool goes_on = trainer_ask(w) != PCV_STOP && trainer_done(w) < 1; /* what ends is saved at its end */
        if (goes_on && (save_is_due(w) || w->wish == PCV_SAVE)) TRY(trainer_save(w, err));
        if (goes_on) w->wish = 0;
        w->started += clock_now() - before; /* only training counts as training time */
        w->window_start += clock_now() - before;
    }
    TRY(finish(w, err));
out:
    return status;
}

/* An error that is none of the weights', nor of saving them, costs no updates. */
static void save_what_is_done(trainer *w, int status) {
    bool saves = status && status != PCV_NUMERIC && status != PCV_INTERRUPTED && !w->failed_saves && !w->half;
    if (saves && w->state.step > w->saved && w->state.step > 0 && !trainer_save(w, NULL) && !w->failed_saves)
        trainer_say(w, "saved after update %lld", (long long)w->state.step);
}

static int run(trainer *w, pcv_error *err) {
    int status = 0;
    TRY(w->options->resume ? resume_read(w, err) : new_run(w, err));
    TRY(check_limits(w, err));
    TRY(open_model(w, err));
    TRY(open_folder(w, err));
    TRY(restore(w, err));
    TRY(write_config(w, err));
    status = loop(w, err);
    save_what_is_done(w, status);
out:
    return status;
}

static void close_all(trainer *w, int status) {
    metrics_close(&w->log);
    crop_close(&w->crops);
    stream_close(&w->streams);
    step_close(&w->buffer);
    tape_free(&w->t);
    optimizer_close(&w->o);
    model_close(w->m);
    if (w->be) w->be->close(w->be);
    dataset_close(w->d);
    json_decref(w->extra);
    mem_free(w->windows);
    bool empty = w->made && w->state.step == 0 && w->saved < 0;
    if (status && empty && !folder_still(&w->folder, NULL)) folder_remove(w->options->run, run_files, NULL);
    folder_let_go(&w->folder);
    lock_drop(&w->lock);
}

int train_run(const pcv_train_options *options, const pcv_settings *settings, const pcv_watch *watch,
              pcv_train_report *report, pcv_error *err) {
    trainer *w = NULL;
    int status = mem_get(&w, sizeof *w, "training", err);
    if (status) return status;
    w->options = options;
    w->settings = settings;
    w->watch = watch;
    w->lock = w->folder.fd = -1;
    w->saved = -1;
    status = run(w, err);
    if (report)
        *report = (pcv_train_report){w->state.step, w->state.tokens, w->state.seconds, w->loss,
                                     w->validation_bits, w->judged ? w->state.best_bits : 0, w->state.best_step};
    close_all(w, status);
    mem_free(w);
    return status;
}
