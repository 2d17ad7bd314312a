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
#include "eval/confusion.h"
#include "eval/showing.h"
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

void trainer_say(const trainer *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    watch_say_list(r->watch, format, args);
    va_end(args);
}

/* ------------------------------------------------------------------ opening */

double trainer_done(const trainer *r) {
    double steps = r->c.steps > 0 ? (double)r->state.step / (double)r->c.steps : 0;
    double time = r->c.minutes > 0 ? r->state.seconds / (60 * r->c.minutes) : 0;
    return steps > time ? steps : time;
}

/* Does the run go by a clock, its own or the one that a configuration has kept? */
static bool is_paced(const trainer *r) { return r->c.minutes > 0 || pace_is_kept(&r->c); }

double trainer_share(const trainer *r) {
    const field_ints *marks = r->c.minutes > 0 ? &r->state.marks : &r->c.pace;
    return is_paced(r) ? pace_at(marks->v, marks->count, r->state.step) : trainer_done(r);
}

/* Of the schedule, which begins behind the warm-up where the last update is known. */
static double progress_of(const trainer *r) {
    double span = (double)(r->c.steps - r->c.warmup);
    if (is_paced(r)) return trainer_share(r);
    return span > 0 ? (double)(r->state.step - r->c.warmup) / span : 1;
}

static int new_run(trainer *r, pcv_error *err) {
    int status = 0;
    if (path_exists(r->options->run)) {
        status = fail(err, PCV_CANTCREATE, "%s: exists already; go on with --resume, or choose another name",
                      r->options->run);
        goto out;
    }
    if (!r->options->dataset) {
        status = fail(err, PCV_USAGE, "no data set; name a folder that 'perceiver prepare' made");
        goto out;
    }
    TRY(settings_model(r->settings, &r->mc, err));
    TRY(settings_fit(r->settings, &r->mc, PCV_MODEL, err));
    TRY(settings_fit(r->settings, &r->mc, PCV_TRAINING, err));
    TRY(settings_train(r->settings, &r->c, err));
    TRY(dataset_open(&r->d, r->options->dataset, (uint64_t)r->c.seed, err));
    if (!utf8_valid(r->d->name)) {
        status = fail(err, PCV_USAGE, "%s: the name is not UTF-8, so that config.json cannot hold it; rename the "
                      "data set", r->d->name);
        goto out;
    }
    TRY(dataset_shape(r->d, r->settings, &r->mc, err));
    TRY(model_config_check(&r->mc, err));
    char seed[128];
    snprintf(seed, sizeof seed, "%.9f %d", clock_wall(), (int)getpid());
    hash_bytes(seed, strlen(seed), r->run_id);
out:
    return status;
}

static int check_limits(const trainer *r, pcv_error *err) {
    if (r->c.steps == 0 && r->c.minutes == 0)
        return fail(err, PCV_USAGE, "no end in sight: give --steps or --minutes");
    if (r->c.start_length && r->mc.memory)
        return fail(err, PCV_CONFIG, "--start-length: segments that follow each other have one length");
    return 0;
}

static int open_model(trainer *r, pcv_error *err) {
    memory_plan plan;
    int status = 0;
    TRY(plan_memory(&r->mc, &r->c, &plan, err));
    TRY(plan_check(&plan, &r->mc, &r->c, err));
    TRY(step_backend(&r->be, &r->c, err));
    TRY(model_open(&r->m, &r->mc, r->be, true, err));
    if (r->d->tokens.axes) r->m->positions = (position_map){tokenizer_position, tokenizer_place, &r->d->tokens};
    r->m->recompute = r->c.recompute;
    TRY(model_init(r->m, (uint64_t)r->c.seed, err));
    if (r->c.begin == BEGIN_DATA && !r->m->type->answers) TRY(begin_with_data(r->m, r->d, (uint64_t)r->c.seed, err));
    TRY(optimizer_open(&r->o, &r->m->params, &r->c, err));
    TRY(tape_init(&r->t, r->be, plan.tensors, err));
    r->t.seed = (uint64_t)r->c.seed;
    TRY(step_open(&r->buffer, r->m, r->c.batch, err));
    if (r->m->type->answers) TRY(example_plan_open(&r->examples, r->d, SPLIT_TRAIN, &r->m->config, (uint64_t)r->c.seed,
                                                   err));
    const int64_t classes = r->d->classes;
    if (classes && classes <= CONFUSION_DRAWN && !shows_picture(r->d))
        TRY(mem_get(&r->confusion, (size_t)(classes * classes) * sizeof *r->confusion, "classes", err));
    if (r->buffer.memory) TRY(stream_open(&r->streams, r->d, SPLIT_TRAIN, r->mc.context, err));
out:
    return status;
}

/* Targets of one piece, about. */
static int64_t targets_of_piece(const trainer *r, int64_t positions) {
    if (r->m->type->answers) return (int64_t)example_answers(r->d, &r->mc, r->c.mask_rate);
    int64_t scored = r->state.length + 1 - r->d->first_target; /* a window has a token more than inputs */
    if (scored > positions) scored = positions;
    if (r->d->type->next_target) scored = dataset_last_targets(r->d, SPLIT_TRAIN, positions);
    return scored > 0 ? scored : 1;
}

/* Sets how long the pieces are that are trained on, and with it how many an update needs. */
static int set_length(trainer *r, int64_t length, pcv_error *err) {
    int64_t positions = r->mc.latents / r->mc.latents_per_position;
    r->state.length = length < r->mc.context ? length : r->mc.context;
    if (!r->m->type->answers) dataset_resize(r->d, r->state.length);
    int64_t scored = targets_of_piece(r, positions);
    int64_t by_tokens = (r->mc.context + 1) / (r->state.length + 1), by_latents = positions / r->state.length;
    r->rows = r->c.batch; /* and more where they are short */
    if (by_latents > 1 && !r->m->type->answers) r->rows *= by_latents < by_tokens ? by_latents : by_tokens;
    r->batches = r->c.total_batch ? (r->c.total_batch + r->rows * scored - 1) / (r->rows * scored) : 1;
    int status = mem_resize(&r->windows, (size_t)(r->batches * r->rows) * sizeof *r->windows, "a batch", err);
    if (status) return status;
    crop_close(&r->crops);
    if (r->buffer.memory || r->m->type->answers) return 0;
    status = crop_open(&r->crops, r->d, SPLIT_TRAIN, r->state.length,
                       r->c.min_crop ? r->c.min_crop + 1 : positions + 1, err);
    /* Where every input predicts, all lengths are learned anyway; of what is generated the length is a part. */
    bool varies = model_type_of(&r->mc)->has_latents && !r->d->generated;
    r->crops.vary = varies ? r->c.vary_context : 0;
    return status;
}

/* Validations of another task, or of other data, are not compared. */
static void forget_validations(run_state *s) { s->best_bits = s->lowest = s->highest = 0; }

/* Longer pieces, once those of the present length are learned. */
static int grow(trainer *r, const loss_sum *sum, int64_t targets, pcv_error *err) {
    double now = (double)sum->hits / (double)(targets ? targets : 1);
    r->state.accuracy += (now - r->state.accuracy) / GROW_MEMORY;
    if (r->state.length >= r->mc.context || r->state.accuracy < r->c.grow_accuracy) return 0;
    int status = set_length(r, 2 * r->state.length, err);
    if (status) return status;
    trainer_say(r, "update %lld: accuracy %.1f %%; going on with pieces of %lld tokens", (long long)r->state.step,
        100 * r->state.accuracy, (long long)r->state.length);
    r->state.accuracy = 0;
    forget_validations(&r->state); /* of an easier task */
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
static int open_folder(trainer *r, pcv_error *err) {
    char path[PATH_SIZE];
    const char *run = r->options->run;
    int status = 0;
    if (!r->options->resume) {
        TRY(folder_make_new(run, err));
        r->made = true;
    }
    TRY(folder_hold(&r->folder, run, err));
    TRY(path_join(path, run, RUN_LOCK, err));
    TRY(lock_take(&r->lock, path, err));
    if (r->options->resume) sweep(run);
out:
    return status;
}

/* What the classes are called. */
static int add_labels(trainer *r, pcv_error *err) {
    json_t *list = json_array();
    for (int64_t i = 0; i < r->d->classes && list; i++)
        if (json_array_append_new(list, json_string(r->d->class_name[i]))) break;
    if (list && (int64_t)json_array_size(list) == r->d->classes && !json_object_set(r->extra, "labels", list)) {
        json_decref(list);
        return 0;
    }
    json_decref(list);
    return fail(err, PCV_MEMORY, "not enough memory to write config.json");
}

static int write_config(trainer *r, pcv_error *err) {
    char path[PATH_SIZE];
    int status = 0;
    if (!r->extra) r->extra = json_object();
    if (json_object_set_new(r->extra, "format", json_string(RUN_FORMAT)) ||
        json_object_set_new(r->extra, "run", json_string(r->run_id)) ||
        json_object_set_new(r->extra, "dataset", json_string(utf8_valid(r->d->place) ? r->d->place : r->d->name)) ||
        json_object_set_new(r->extra, "meaning", json_string(r->d->meaning)) ||
        json_object_set_new(r->extra, "digest", json_string(r->d->digest)) ||
        json_object_set_new(r->extra, "kind", json_string(r->d->kind))) {
        status = fail(err, PCV_MEMORY, "not enough memory to write config.json");
        goto out;
    }
    if (r->m->type->answers && r->d->classes) TRY(add_labels(r, err));
    TRY(path_own(path, r->options->run, RUN_CONFIG, err));
    TRY(config_write(path, &r->mc, &r->c, r->extra, err));
    TRY(tokenizer_save(&r->d->tokens, r->options->run, err));
out:
    return status;
}

static int restore(trainer *r, pcv_error *err) {
    r->owner = (checkpoint_owner){r->options->run, r->run_id, r->be->level,
                                  (uint64_t)r->c.seed, r->c.keep, r->m, r->buffer.memory};
    int status = 0;
    if (r->options->resume) {
        status = checkpoint_load(&r->owner, &r->o, &r->state, r->watch, err);
        if (status == PCV_NOINPUT) { /* stopped before the first one was written */
            trainer_say(r, "there is no checkpoint yet; starting from the beginning");
            status = 0;
        } else if (!status) {
            trainer_say(r, "resumed after update %lld", (long long)r->state.step);
            r->saved = r->state.step;
        }
    }
    if (status) return status;
    if (r->moved || strcmp(r->state.data, r->d->digest)) forget_validations(&r->state);
    if (r->moved || r->changed) r->state.changed = 1;
    memcpy(r->state.data, r->d->digest, sizeof r->d->digest);
    if (r->state.best_bits > 0 && r->state.best_step == r->state.step) status = trainer_publish(r, err);
    if (status) return status;
    if (r->state.length == 0) r->state.length = r->c.start_length ? r->c.start_length : r->mc.context;
    status = set_length(r, r->state.length, err);
    if (status) return status;
    if (r->c.minutes > 0) pace_mark(&r->state.marks, trainer_done(r), r->state.step);
    bool over = trainer_done(r) >= 1;
    if (r->options->resume && over)
        trainer_say(r, "the run is finished: %lld update%s in %.1f minutes; give more --steps or --minutes to go on",
                    (long long)r->state.step, plural(r->state.step), r->state.seconds / 60);
    r->last_save = r->state.seconds;
    r->validations = trainer_validations(r);
    r->validation_bits = r->state.best_bits;
    int64_t looks = over ? r->state.step - 1 : r->state.step; /* its end is looked at once more */
    return metrics_open(&r->log, r->options->run, r->state.step, looks, r->watch, err);
}

/* ------------------------------------------------------------------ one update */

static int draw_windows(trainer *r, int64_t *targets, pcv_error *err) {
    rng random = rng_make((uint64_t)r->c.seed, RNG_CROP, (uint32_t)r->state.step);
    int status = 0;
    *targets = 0;
    for (int64_t i = 0; i < r->batches * r->rows && !status; i++) {
        int64_t turn = r->state.step * r->batches + i / r->rows, more = 0;
        if (r->m->type->answers) r->windows[i] = example_draw(&r->examples, turn * r->rows + i % r->rows);
        else if (r->buffer.memory) r->windows[i] = stream_at(&r->streams, i % r->rows, r->rows, turn);
        else r->windows[i] = crop_draw(&r->crops, &random);
        status = step_targets(&r->buffer, r->d, SPLIT_TRAIN, &r->windows[i], &r->c, &more, err);
        *targets += more;
    }
    return status;
}

/* What a step that is not finite was trained on, for whoever looks into it. */
static void dump_windows(const trainer *r) {
    char path[PATH_SIZE], name[64];
    text t = {0};
    snprintf(name, sizeof name, "nonfinite-%08lld.txt", (long long)r->state.step);
    text_add(&t, "document\tfrom\tcount\n");
    for (int64_t i = 0; i < r->batches * r->rows; i++)
        text_add(&t, "%lld\t%lld\t%lld\n", (long long)r->windows[i].document, (long long)r->windows[i].from,
                 (long long)r->windows[i].count);
    if (text_ok(&t) && !path_own(path, r->options->run, name, NULL)) file_write(path, t.data, t.size, NULL);
    text_free(&t);
}

static int not_finite(trainer *r, double loss, double norm, pcv_error *err) {
    r->state.skipped++;
    if (r->bad_steps++ == 0) {
        trainer_say(r, "update %lld: loss %g, gradient norm %g: not finite; the update is left out",
            (long long)r->state.step, loss, norm);
        dump_windows(r);
    }
    if (r->bad_steps < MOST_BAD_STEPS) return 0;
    return fail(err, PCV_NUMERIC, "the loss is not finite since update %lld; %s; " TRY_LOWER,
                (long long)r->state.step - MOST_BAD_STEPS + 1, trainer_kept(r));
}

static void record(trainer *r, double lr, double norm) {
    double now = clock_now(), elapsed = now - r->line_start;
    r->rate = elapsed > 0 ? (double)r->line_tokens / elapsed : 0;
    run_state *s = &r->state;
    double targets = (double)(s->line_targets ? s->line_targets : 1);
    r->loss = s->line_loss / targets;
    if (r->state.step % r->c.log_every && r->state.step != 1) return;
    const bool chances = r->mc.loss == LOSS_CROSS_ENTROPY; /* of which there is a likeliest, right or wrong */
    const metric ours[] = {{"bits_per_token", r->loss / 0.69314718055994531},
                           {"accuracy", (double)s->line_hits / targets}};
    const metric all[] = {{"length", (double)r->state.length}, {"lr", lr}, {"grad_norm", norm},
                          {"tokens_per_second", r->rate}, {"tokens", (double)r->state.tokens},
                          {"seconds", r->state.seconds}};
    metric list[1 + sizeof ours / sizeof *ours + sizeof all / sizeof *all] = {{"loss", r->loss}};
    int count = 1;
    for (size_t i = 0; chances && i < sizeof ours / sizeof *ours; i++) list[count++] = ours[i];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) list[count++] = all[i];
    metrics_write(&r->log, r->state.step, list, count);
    r->line_start = now;
    r->line_tokens = s->line_targets = s->line_hits = 0;
    s->line_loss = 0;
}

/* An update may take minutes, so who wants the run to stop is heard between its passes. The update is left out then: it
 * has changed no weights yet. A memory has moved on, however, so there it is brought to its end. */
static bool stops_within(trainer *r, int64_t done) {
    if (done == 0 || r->wish == PCV_STOP || trainer_ask(r) != PCV_STOP) return false;
    if (r->half) trainer_say(r, "stopping when update %lld is done", (long long)r->state.step + 1);
    else trainer_say(r, "stopping; update %lld, which is not done, is left out", (long long)r->state.step + 1);
    return !r->half;
}

/* Gradients of all batches of an update. *whole: none is missing. */
static int run_passes(trainer *r, double scale, loss_sum *sum, bool *whole, pcv_error *err) {
    int status = 0;
    *whole = false;
    parameters_clear_grads(&r->m->params);
    r->t.step = (uint32_t)r->state.step;
    for (int64_t k = 0; k < r->batches; k++) {
        const window *rows = r->windows + k * r->rows;
        if (stops_within(r, k)) goto out;
        TRY(step_read(&r->buffer, r->d, SPLIT_TRAIN, rows, r->rows, &r->c, err));
        r->half = r->buffer.memory != NULL;
        TRY(step_run(&r->buffer, &r->t, r->m, &r->c, (uint32_t)k, scale, sum, err));
    }
    r->half = false;
    *whole = true;
out:
    return status;
}

static int update(trainer *r, bool *whole, pcv_error *err) {
    loss_sum sum = {0};
    int64_t targets;
    int status = draw_windows(r, &targets, err);
    if (status) return status;
    double scale = 1 / (double)(targets ? targets : 1);
    status = run_passes(r, scale, &sum, whole, err);
    if (status || !*whole) return status;
    double norm = optimizer_grad_norm(&r->o), loss = sum.value * scale;
    double lr = schedule_rate(&r->c, r->state.step, progress_of(r));
    bool finite = isfinite(loss) && isfinite(norm);
    if (finite) {
        double clip = r->c.clip > 0 && norm > r->c.clip ? r->c.clip / norm : 1;
        optimizer_step(&r->o, &r->c, r->state.step, lr, clip);
        r->bad_steps = 0;
        r->state.line_loss += sum.loss;
        r->state.line_targets += targets;
        r->state.line_hits += sum.hits;
    }
    r->state.step++;
    r->state.tokens += targets;
    r->state.windows += r->batches * r->rows;
    r->state.seconds = clock_now() - r->started;
    if (r->c.minutes > 0) pace_mark(&r->state.marks, trainer_done(r), r->state.step);
    r->line_tokens += targets;
    if (!finite) status = not_finite(r, loss, norm, err);
    if (!status) record(r, lr, norm);
    return status ? status : grow(r, &sum, targets, err);
}

/* ------------------------------------------------------------------ the loop */

int trainer_ask(trainer *r) {
    bool chances = r->mc.loss == LOSS_CROSS_ENTROPY;
    char line[256], validation[64] = "", bits[64] = "";
    if (chances) snprintf(bits, sizeof bits, ", %.4f bits", r->loss / 0.693147);
    if (r->validation_bits > 0)
        snprintf(validation, sizeof validation, ", validation %.4f%s", r->validation_bits, chances ? " bits" : "");
    snprintf(line, sizeof line, "loss %.4f%s%s, update %lld", r->loss, bits, validation,
             (long long)r->state.step); /* what matters most comes first, where a terminal is narrow */
    pcv_progress p = {.stage = "training", .done = trainer_done(r), .total = 1, .seconds = r->state.seconds,
                      .rate = r->rate, .unit = "tokens", .line = line};
    int wish = watch_ask(r->watch, &p);
    if (wish && r->wish != PCV_STOP) r->wish = wish;
    return r->wish;
}

static bool save_is_due(const trainer *r) {
    if (r->c.save_every > 0 && r->state.step % r->c.save_every == 0) return true;
    return r->c.save_minutes > 0 && r->state.seconds - r->last_save > 60 * r->c.save_minutes;
}

/* A run by the clock ends with what it takes to repeat it. */
static void end_time(trainer *r) {
    char path[PATH_SIZE], again[PATH_SIZE + 128] = "";
    const long long step = (long long)r->state.step;
    if (r->c.minutes == 0) return;
    pace_keep(&r->c, &r->state.marks, r->state.step);
    bool kept = !r->state.changed && !path_own(path, r->options->run, RUN_CONFIG, NULL) &&
                !config_write(path, &r->mc, &r->c, r->extra, NULL);
    if (kept) snprintf(again, sizeof again, "; the same weights again: --config %s --steps %lld", path, step);
    if (r->c.steps == 0 || r->state.step < r->c.steps)
        trainer_say(r, "after update %lld the time of %g minutes is over%s", step, r->c.minutes, again);
    else trainer_say(r, "update %lld is the last one%s", step, again);
}

static int finish(trainer *r, pcv_error *err) {
    bool over = trainer_done(r) >= 1;
    int status = over ? trainer_look(r, true, err) : trainer_save_last(r, err);
    if (status) return status;
    if (over) {
        end_time(r);
        return 0;
    }
    trainer_report(r);
    return fail(err, PCV_INTERRUPTED, "stopped after update %lld; saved, go on with --resume",
                (long long)r->state.step);
}

static int loop(trainer *r, pcv_error *err) {
    int status = 0;
    r->started = clock_now() - r->state.seconds;
    r->line_start = clock_now();
    for (bool whole = true; whole && trainer_done(r) < 1 && r->wish != PCV_STOP;) {
        backend_pass_begin(r->be, PASS_UPDATE);
        TRY(update(r, &whole, err));
        backend_pass_end(r->be, PASS_UPDATE, 1);
        double before = clock_now();
        if (whole && trainer_done(r) < 1) TRY(trainer_look(r, false, err));
        bool goes_on = trainer_ask(r) != PCV_STOP && trainer_done(r) < 1; /* what ends is saved at its end */
        if (goes_on && (save_is_due(r) || r->wish == PCV_SAVE)) TRY(trainer_save(r, err));
        if (goes_on) r->wish = 0;
        r->started += clock_now() - before; /* only training counts as training time */
        r->line_start += clock_now() - before;
    }
    TRY(finish(r, err));
out:
    return status;
}

/* An error that is none of the weights', nor of saving them, costs no updates. */
static void save_what_is_done(trainer *r, int status) {
    bool saves = status && status != PCV_NUMERIC && status != PCV_INTERRUPTED && !r->failed_saves && !r->half;
    if (saves && r->state.step > r->saved && r->state.step > 0 && !trainer_save(r, NULL) && !r->failed_saves)
        trainer_say(r, "saved after update %lld", (long long)r->state.step);
}

static int run(trainer *r, pcv_error *err) {
    int status = 0;
    TRY(r->options->resume ? resume_read(r, err) : new_run(r, err));
    TRY(check_limits(r, err));
    TRY(open_model(r, err));
    TRY(open_folder(r, err));
    TRY(restore(r, err));
    TRY(write_config(r, err));
    status = loop(r, err);
    save_what_is_done(r, status);
out:
    return status;
}

static void close_all(trainer *r, int status) {
    metrics_close(&r->log);
    crop_close(&r->crops);
    stream_close(&r->streams);
    example_plan_close(&r->examples);
    step_close(&r->buffer);
    tape_free(&r->t);
    optimizer_close(&r->o);
    model_close(r->m);
    if (r->be) r->be->close(r->be);
    dataset_close(r->d);
    json_decref(r->extra);
    mem_free(r->windows);
    mem_free(r->confusion);
    bool empty = r->made && r->state.step == 0 && r->saved < 0;
    if (status && empty && !folder_still(&r->folder, NULL)) folder_remove(r->options->run, run_files, NULL);
    folder_let_go(&r->folder);
    lock_drop(&r->lock);
}

int train_run(const pcv_train_options *options, const pcv_settings *settings, const pcv_watch *watch,
              pcv_train_report *report, pcv_error *err) {
    trainer *r = NULL;
    int status = mem_get(&r, sizeof *r, "training", err);
    if (status) return status;
    r->options = options;
    r->settings = settings;
    r->watch = watch;
    r->lock = r->folder.fd = -1;
    r->saved = -1;
    status = run(r, err);
    if (report)
        *report = (pcv_train_report){r->state.step, r->state.tokens, r->state.seconds, r->loss,
                                     r->validation_bits, r->judged ? r->state.best_bits : 0, r->state.best_step,
                                     model_loss_unit(&r->mc)->name};
    close_all(r, status);
    mem_free(r);
    return status;
}
