/* A checkpoint is believed step by step: its manifest by a hash over its own values, that it belongs to this run
 * and seed, its files by length and hash; and only then is anything loaded. A file that is damaged makes the
 * loader take the checkpoint before. Saving the same step again, when a validation has told more, writes the
 * manifest alone: weights and moments are there. */
#include "train/checkpoint.h"
#include "base/fields.h"
#include "base/mem.h"
#include "base/temporary.h"
#include "base/watch.h"
#include "gen/engine.h"
#include "model/manifest.h"
#include "model/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES = 3 };
static const char *const files[] = {RUN_WEIGHTS, RUN_MOMENTS, RUN_MEMORY, RUN_MANIFEST, NULL};

static int file_count(const checkpoint_owner *owner) { return owner->memory ? FILES : FILES - 1; }

static const field state_rows[] = {
#define INT(name)  {#name, NULL, FIELD_INT, offsetof(run_state, name), 0, 1e15, NULL, "0", ""}
#define REAL(name) {#name, NULL, FIELD_REAL, offsetof(run_state, name), 0, 1e15, NULL, "0", ""}
    INT(step), INT(tokens), INT(windows), INT(skipped), REAL(seconds), REAL(best_bits), INT(best_step),
    INT(length), REAL(accuracy),
    {"data", NULL, FIELD_STRING, offsetof(run_state, data), 0, 0, NULL, "", ""},
    REAL(lowest), REAL(highest), REAL(line_loss), INT(line_targets), INT(line_hits), INT(changed),
    {"marks", NULL, FIELD_INTS, offsetof(run_state, marks), 0, 1e15, NULL, "", ""},
#undef INT
#undef REAL
};
static const field_table state_fields = {state_rows, sizeof state_rows / sizeof *state_rows};

/* ------------------------------------------------------------------ checking */

/* The random numbers of a run follow from its seed and the step, so these have no state but what is known. */
static int check_random(const checkpoint_owner *owner, const json_t *manifest, const char *path, pcv_error *err) {
    int64_t seed, step, done;
    int status = 0;
    const json_t *random = json_object_get(manifest, "random");
    TRY(json_get_int(random, "seed", 0, INT64_MAX, &seed, path, err));
    TRY(json_get_int(random, "step", 0, INT64_MAX, &step, path, err));
    TRY(json_get_int(json_object_get(manifest, "state"), "step", 0, INT64_MAX, &done, path, err));
    if ((uint64_t)seed != owner->seed)
        status = fail(err, PCV_DATA, "%s: random numbers of seed %" PRId64 ", but the run's seed is %" PRIu64, path,
                      seed, owner->seed);
    else if (step != done)
        status = fail(err, PCV_DATA, "%s: random numbers of step %" PRId64 ", but the state is that of step %" PRId64,
                      path, step, done);
out:
    return status;
}

/* Reads the manifest of a checkpoint and checks it and the files that it names. */
static int check_folder(const checkpoint_owner *owner, const char *folder, json_t **manifest, pcv_error *err) {
    char path[PATH_SIZE];
    int status = 0;
    TRY(manifest_read(manifest, folder, owner->run_id, err));
    TRY(path_join(path, folder, RUN_MANIFEST, err));
    TRY(check_random(owner, *manifest, path, err));
    for (int i = 0; i < file_count(owner); i++) TRY(manifest_check_file(*manifest, folder, files[i], err));
out:
    return status;
}

/* ------------------------------------------------------------------ saving */

static int check_space(const char *folder, const optimizer *o, pcv_error *err) {
    uint64_t have, need = (uint64_t)(matrix_bytes(&o->m) * (o->average.data ? 4 : 3) * 21 / 20);
    int status = path_free_bytes(folder, &have, err);
    if (!status && have < need)
        status = fail(err, PCV_IO, "%s: %" PRIu64 " bytes are free, a checkpoint needs %" PRIu64, folder,
                      have, need);
    return status;
}

/* Lengths and hashes of a checkpoint's files, as a manifest names them. */
static json_t *list_files(const checkpoint_owner *owner, char hash[FILES][HASH_TEXT], const uint64_t size[FILES]) {
    json_t *list = json_object();
    for (int i = 0; i < file_count(owner); i++)
        if (json_object_set_new(list, files[i], json_pack("{s:I, s:s}", "bytes", (json_int_t)size[i], "xxh3_128",
                                                          hash[i]))) {
            json_decref(list);
            return NULL; /* which write_manifest refuses */
        }
    return list;
}

static int write_manifest(const checkpoint_owner *owner, const run_state *state, json_t *list, const char *path,
                          pcv_error *err) {
    json_t *about = json_object(), *out = NULL;
    char own[HASH_TEXT];
    int status = 0;
    TRY(fields_write(&state_fields, state, about, err));
    out = json_pack("{s:s, s:i, s:s, s:O, s:{s:I, s:I}, s:s, s:O}", "format", MANIFEST_FORMAT, "version", 1, "run",
                    owner->run_id, "state", about, "random", "seed", (json_int_t)owner->seed, "step",
                    (json_int_t)state->step, "kernels", owner->kernels, "files", list);
    if (!out) {
        status = fail(err, PCV_MEMORY, "not enough memory to write %s", path);
        goto out;
    }
    TRY(manifest_hash(out, own, err));
    if (json_object_set_new(out, MANIFEST_HASH, json_string(own))) {
        status = fail(err, PCV_MEMORY, "not enough memory to write %s", path);
        goto out;
    }
    TRY(json_write(out, path, err));
out:
    json_decref(about);
    json_decref(out);
    return status;
}

static int fill_folder(const checkpoint_owner *owner, const optimizer *o, const run_state *state,
                       const char *folder, pcv_error *err) {
    char path[PATH_SIZE], hash[FILES][HASH_TEXT];
    uint64_t size[FILES];
    json_t *list = NULL;
    int status = 0;
    weight_block weights = {"", o->p->values};
    weight_block moments[] = {{"m.", o->m}, {"v.", o->v}, {"average.", o->average}};
    TRY(path_join(path, folder, files[0], err));
    TRY(weights_save(o->p, &weights, 1, NULL, path, hash[0], &size[0], err));
    TRY(path_join(path, folder, files[1], err));
    TRY(weights_save(o->p, moments, o->average.data ? 3 : 2, NULL, path, hash[1], &size[1], err));
    if (owner->memory) {
        TRY(path_join(path, folder, files[2], err));
        TRY(model_memory_save(owner->memory, owner->m, path, hash[2], &size[2], err));
    }
    TRY(path_join(path, folder, RUN_MANIFEST, err));
    list = list_files(owner, hash, size);
    TRY(write_manifest(owner, state, list, path, err));
out:
    json_decref(list);
    return status;
}

/* Oldest first beyond `keep`; the best stays. */
static void prune(const checkpoint_owner *owner, const run_state *state, const char *folder) {
    file_list names = {0};
    char path[PATH_SIZE];
    int64_t whole = 0;
    if (folder_names(folder, &names, NULL)) return;
    for (size_t i = 0; i < names.count; i++) whole += checkpoint_step(names.paths[i]) >= 0;
    for (size_t i = 0; i < names.count && whole > owner->keep; i++) {
        int64_t step = checkpoint_step(names.paths[i]);
        if (step < 0) continue;
        whole--;
        if (step == state->best_step && state->best_bits > 0) continue;
        if (!path_join(path, folder, names.paths[i], NULL)) folder_remove(path, files, NULL);
    }
    file_list_free(&names);
}

/* Where the same step was saved before, weights and moments are there, but a validation since may have told more:
 * the manifest alone is written anew. *whole says whether that was so. */
static int save_again(const checkpoint_owner *owner, const run_state *state, const char *folder, bool *whole,
                      pcv_error *err) {
    char path[PATH_SIZE];
    json_t *manifest = NULL;
    int status = 0;
    *whole = path_exists(folder) && !check_folder(owner, folder, &manifest, NULL);
    if (!*whole) goto out;
    TRY(path_own(path, folder, RUN_MANIFEST, err));
    TRY(write_manifest(owner, state, json_object_get(manifest, "files"), path, err));
out:
    json_decref(manifest);
    return status;
}

int checkpoint_save(const checkpoint_owner *owner, const optimizer *o, const run_state *state,
                    pcv_error *err) {
    char folder[PATH_SIZE], name[64], path[PATH_SIZE];
    folder_writer w = {.fd = -1};
    bool whole;
    int status = 0;
    TRY(weights_check_finite(o->p, o->p->values, "the weights", err));
    TRY(path_join(folder, owner->run, RUN_CHECKPOINTS, err));
    TRY(folder_make_in(folder, err));
    snprintf(name, sizeof name, CHECKPOINT "%08" PRId64, state->step);
    TRY(path_join(path, folder, name, err));
    TRY(save_again(owner, state, path, &whole, err));
    if (whole) goto out;
    TRY(check_space(folder, o, err));
    TRY(folder_remove(path, files, err)); /* one that was passed over when the run was resumed */
    TRY(folder_create(&w, path, files, err));
    TRY(fill_folder(owner, o, state, w.temporary, err));
    TRY(folder_commit(&w, err));
    prune(owner, state, folder);
out:
    folder_abandon(&w);
    return status;
}

/* ------------------------------------------------------------------ loading */

static int load_folder(const checkpoint_owner *owner, const char *folder, optimizer *o, run_state *state,
                       const pcv_watch *watch, pcv_error *err) {
    char path[PATH_SIZE];
    json_t *manifest = NULL;
    const char *level;
    int status = 0;
    TRY(check_folder(owner, folder, &manifest, err));
    fields_default(&state_fields, state);
    TRY(path_join(path, folder, RUN_MANIFEST, err));
    TRY(fields_read(&state_fields, state, json_object_get(manifest, "state"), NULL, path, err));
    TRY(json_get_string(manifest, "kernels", &level, path, err));
    weight_block weights = {"", o->p->values};
    weight_block moments[] = {{"m.", o->m}, {"v.", o->v}, {"average.", o->average}};
    TRY(path_join(path, folder, files[0], err));
    TRY(weights_load(o->p, &weights, 1, path, err));
    TRY(path_join(path, folder, files[1], err));
    TRY(weights_load(o->p, moments, o->average.data ? 3 : 2, path, err));
    if (owner->memory) {
        TRY(path_join(path, folder, files[2], err));
        TRY(model_memory_load(owner->memory, owner->m, path, err));
    }
    if (strcmp(level, owner->kernels))
        watch_say(watch, "resumed with %s kernels, but trained with %s: results will differ in their last bits from an "
                  "uninterrupted run", owner->kernels, level);
out:
    json_decref(manifest);
    return status;
}

int checkpoint_load(const checkpoint_owner *owner, optimizer *o, run_state *state,
                    const pcv_watch *watch, pcv_error *err) {
    char folder[PATH_SIZE], path[PATH_SIZE];
    file_list names = {0};
    pcv_error reason = {0};
    int status = path_join(folder, owner->run, RUN_CHECKPOINTS, err);
    if (!status && path_exists(folder)) status = folder_names(folder, &names, err);
    if (status) return status;
    status = PCV_NOINPUT;
    for (size_t i = names.count; i > 0 && status; i--) {
        if (checkpoint_step(names.paths[i - 1]) < 0) continue;
        if (path_join(path, folder, names.paths[i - 1], &reason)) continue;
        status = load_folder(owner, path, o, state, watch, &reason);
        if (status) watch_say(watch, "passed over a checkpoint: %s", reason.message);
    }
    file_list_free(&names);
    if (status && reason.code) /* a file that is missing makes it bad data, not a run without checkpoints */
        return fail(err, reason.code == PCV_NOINPUT ? PCV_DATA : reason.code, "no checkpoint can be used: %s",
                    reason.message);
    return status ? fail(err, PCV_NOINPUT, "%s: there is no checkpoint to resume from", owner->run) : 0;
}

static int peek_folder(const char *folder, run_state *state, pcv_error *err) {
    char path[PATH_SIZE];
    json_t *manifest = NULL;
    int status = 0;
    fields_default(&state_fields, state);
    TRY(path_join(path, folder, RUN_MANIFEST, err));
    TRY(json_read(&manifest, path, MANIFEST_LIMIT, err));
    TRY(fields_read(&state_fields, state, json_object_get(manifest, "state"), NULL, path, err));
out:
    json_decref(manifest);
    return status;
}

int checkpoint_peek(const char *run, run_state *state, pcv_error *err) {
    char folder[PATH_SIZE], path[PATH_SIZE];
    file_list names = {0};
    int status = path_join(folder, run, RUN_CHECKPOINTS, err);
    if (!status) status = folder_names(folder, &names, err);
    if (!status) status = fail(err, PCV_NOINPUT, "%s: there is no checkpoint", run);
    for (size_t i = names.count; i > 0 && status; i--)
        if (checkpoint_step(names.paths[i - 1]) >= 0 && !path_join(path, folder, names.paths[i - 1], err))
            status = peek_folder(path, state, err);
    file_list_free(&names);
    return status;
}

void checkpoint_sweep(const char *run) {
    static const char *const steps[] = {CHECKPOINT "*", NULL};
    char folder[PATH_SIZE];
    if (!path_join(folder, run, RUN_CHECKPOINTS, NULL)) folder_sweep(folder, steps, files);
}
