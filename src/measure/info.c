/* One walk makes two descriptions, text for people and JSON for programs: add_ goes to both (add_line to people
 * alone), put_ to programs alone. Weights are described by their headers; their data is not read. A setting counts
 * as chosen when its default in its place would give another value: many a default follows from other settings, so
 * it is tried (is_usual). */
#include "measure/info.h"
#include "base/file.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "config/settings.h"
#include "data/generated.h"
#include "gen/engine.h"
#include "model/config_file.h"
#include "train/checkpoint.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct describer {
    text out;
    json_t *json; /* the same for programs, and all of it */
    bool tensors; /* of a run, for people: listed */
} describer;

static void add_label(describer *d, const char *label) { text_add(&d->out, "%-22s ", label); }

/* A text for people that programs know by other keys. */
static void add_line(describer *d, const char *label, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add_line(describer *d, const char *label, const char *format, ...) {
    char whole[1024], line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(whole, sizeof whole, format, args);
    va_end(args);
    text_line(line, sizeof line, whole);
    add_label(d, label);
    text_add(&d->out, "%s\n", line);
}

static void add_text(describer *d, const char *key, const char *label, const char *value) {
    add_label(d, label);
    text_escape(&d->out, value, strlen(value));
    text_add(&d->out, "\n");
    json_object_set_new(d->json, key, json_string(value));
}

/* What says that two things are the same; "": an older version recorded none. */
static void add_digest(describer *d, const char *key, const char *label, const char *digest) {
    if (digest && *digest) add_text(d, key, label, digest);
}

static void put_number(describer *d, const char *key, int64_t value) {
    json_object_set_new(d->json, key, json_integer(value));
}

static void add_number(describer *d, const char *key, const char *label, int64_t value) {
    add_line(d, label, "%" PRId64, value);
    put_number(d, key, value);
}

/* ------------------------------------------------------------------ tensors */

static void put_tensor(json_t *list, const safetensors_entry *e) {
    json_t *sizes = json_array();
    for (int k = 0; k < e->rank; k++) json_array_append_new(sizes, json_integer(e->shape[k]));
    json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", e->name, "dtype", e->type, "shape", sizes));
}

static void add_tensor(describer *d, const safetensors_entry *e) {
    char name[4 * SAFETENSORS_NAME];
    text_line(name, sizeof name, e->name);
    text_add(&d->out, "  %-48s %-5s [", name, e->type);
    for (int k = 0; k < e->rank; k++) text_add(&d->out, "%s%" PRId64, k ? ", " : "", e->shape[k]);
    text_add(&d->out, "]\n");
}

/* A list for programs always, for people where it is asked for. */
static void add_tensors(describer *d, const safetensors *file, bool shown) {
    json_t *list = json_array();
    if (shown) text_add(&d->out, "\ntensors\n");
    for (int i = 0; i < file->count; i++) {
        put_tensor(list, &file->entries[i]);
        if (shown) add_tensor(d, &file->entries[i]);
    }
    json_object_set_new(d->json, "tensors", list);
}

static void add_parameters(describer *d, const safetensors *file) {
    int64_t total = 0;
    for (int i = 0; i < file->count; i++) total += file->entries[i].elements;
    add_number(d, "parameters", "parameters", total);
}

static int describe_file(describer *d, const char *path, pcv_error *err) {
    safetensors file;
    int status = safetensors_open(&file, path, err);
    if (status) return status;
    add_text(d, "kind", "kind", "safetensors file");
    add_number(d, "tensor_count", "tensors", file.count);
    add_parameters(d, &file);
    add_tensors(d, &file, true);
    safetensors_close(&file);
    return 0;
}

/* ------------------------------------------------------------------ runs */

typedef struct run_page {
    const char *run;
    model_config *model, *usual, *changed; /* the run's, the defaults, and one that is tried */
    train_config train;
    json_t *extra;
    tokenizer tokens;
    run_state state;
    bool trained; /* there is a checkpoint, whose state this is */
} run_page;

/* Would the row have its value if nobody had chosen it? Many a default follows from other settings. */
static bool is_usual(const run_page *r, const field *f) {
    *r->changed = *r->model;
    field_copy(f, r->changed, r->usual);
    return !model_config_check(r->changed, NULL) && field_same(f, r->model, r->changed);
}

static void add_setting(describer *d, const field *f, const void *object) {
    char value[FIELD_TEXT], line[FIELD_TEXT];
    field_print(f, object, value, sizeof value);
    text_line(line, sizeof line, value);
    text_add(&d->out, "  %-32s %s\n", f->key, *line ? line : "-");
}

static void put_settings(describer *d, const field_table *table, const void *object, const char *name) {
    json_t *all = json_object();
    if (!fields_write(table, object, all, NULL)) json_object_set(d->json, name, all);
    json_decref(all);
}

/* What was chosen; the rest is as it would have been without a word. */
static int add_settings(describer *d, const run_page *r, pcv_error *err) {
    train_config usual;
    int status = settings_model(NULL, r->usual, err);
    if (!status) status = settings_train(NULL, &usual, err);
    if (status) return status;
    const field_table *own = model_settings(r->model);
    text_add(&d->out, "\nmodel, where it is not the default\n");
    for (int i = 0; i < own->count; i++)
        if (!is_usual(r, &own->rows[i])) add_setting(d, &own->rows[i], r->model);
    text_add(&d->out, "\ntraining, where it is not the default\n");
    for (int i = 0; i < train_fields.count; i++) {
        const field *f = &train_fields.rows[i];
        if (f->initial && !field_same(f, &r->train, &usual)) add_setting(d, f, &r->train);
    }
    put_settings(d, own, r->model, "model");
    put_settings(d, &train_fields, &r->train, "training");
    return 0;
}

/* What came of it. */
static void add_results(describer *d, const run_page *r) {
    const run_state *s = &r->state;
    if (!r->trained) {
        add_line(d, "updates", "none saved yet");
        return;
    }
    add_number(d, "updates", "updates", s->step);
    bool hours = s->seconds >= 7200, minutes = s->seconds >= 120;
    add_line(d, "trained", "%.1f %s, %" PRId64 " target token%s",
             hours ? s->seconds / 3600 : minutes ? s->seconds / 60 : s->seconds,
             hours ? "hours" : minutes ? "minutes" : "s", s->tokens, plural(s->tokens));
    put_number(d, "target_tokens", s->tokens);
    json_object_set_new(d->json, "seconds", json_real(s->seconds));
    if (s->best_bits <= 0) {
        add_line(d, "best validation", "none yet");
        return;
    }
    add_line(d, "best validation", "%.4f %s, after update %" PRId64, s->best_bits, model_loss_unit(r->model)->name,
             s->best_step);
    json_object_set_new(d->json, "best_validation_bits", json_real(s->best_bits));
    put_number(d, "best_update", s->best_step);
}

/* Weights as they lie on the disk, and how many there are. */
static int add_weights(describer *d, const run_page *r, safetensors *file, pcv_error *err) {
    char path[PATH_SIZE];
    struct stat about;
    int status = path_join(path, r->run, RUN_WEIGHTS, err);
    if (status) return status;
    if (stat(path, &about)) {
        add_text(d, "weights", "weights", "none yet");
        return 0;
    }
    status = safetensors_open(file, path, err);
    if (status) return status;
    add_parameters(d, file);
    bool large = about.st_size >= 1000000;
    add_line(d, "size", "%.1f %s of weights", (double)about.st_size / (large ? 1e6 : 1e3), large ? "MB" : "kB");
    put_number(d, "weights_bytes", about.st_size);
    return 0;
}

static int read_run(run_page *r, pcv_error *err) {
    char path[PATH_SIZE];
    int status = 0;
    TRY(mem_get(&r->model, sizeof *r->model, "a configuration", err));
    TRY(mem_get(&r->usual, sizeof *r->usual, "a configuration", err));
    TRY(mem_get(&r->changed, sizeof *r->changed, "a configuration", err));
    TRY(path_join(path, r->run, RUN_CONFIG, err));
    TRY(config_read(path, r->model, &r->train, &r->extra, err));
    TRY(tokenizer_load(&r->tokens, r->run, err));
    r->trained = !checkpoint_peek(r->run, &r->state, NULL);
out:
    return status;
}

/* Results first, then what was chosen, and all tensors where they are asked for. */
static int describe_run(describer *d, const char *run, pcv_error *err) {
    run_page r = {.run = run};
    safetensors file = {.fd = -1};
    int status = 0;
    TRY(read_run(&r, err));
    const char *data = json_string_value(json_object_get(r.extra, "dataset"));
    add_text(d, "kind", "kind", "run");
    add_results(d, &r);
    add_text(d, "dataset", "data set", data ? data : "?");
    add_digest(d, "digest", "data digest", json_string_value(json_object_get(r.extra, "digest")));
    add_text(d, "tokenizer", "tokenizer", r.tokens.type->name);
    add_digest(d, "meaning", "tokenizer digest", json_string_value(json_object_get(r.extra, "meaning")));
    add_text(d, "architecture", "architecture", field_name(fields_by_key(&model_fields, "architecture"), r.model));
    TRY(add_weights(d, &r, &file, err));
    TRY(add_settings(d, &r, err));
    if (file.fd >= 0) add_tensors(d, &file, d->tensors);
    if (file.fd >= 0 && !d->tensors) text_add(&d->out, "\n%d tensor%s: --tensors lists them\n", file.count,
                                               plural(file.count));
out:
    tokenizer_close(&r.tokens);
    if (file.fd >= 0) safetensors_close(&file);
    json_decref(r.extra);
    mem_free(r.model);
    mem_free(r.usual);
    mem_free(r.changed);
    return status;
}

/* ------------------------------------------------------------------ data sets */

/* What documents are called, and how many of each there are to train on. */
static int add_classes(describer *d, const dataset *set, pcv_error *err) {
    enum { SHOWN = 20 };
    json_t *list = json_object();
    int64_t *count = NULL;
    int status = mem_get(&count, (size_t)set->classes * sizeof *count, "classes", err);
    if (status) return status;
    text_add(&d->out, "%-22s %" PRId64 "\n", "classes", set->classes);
    for (int64_t i = 0; i < dataset_documents(set, SPLIT_TRAIN); i++) count[set->type->label(set, SPLIT_TRAIN, i)]++;
    for (int64_t k = 0; k < set->classes; k++) {
        char name[256];
        text_line(name, sizeof name, set->class_name[k]);
        if (k < SHOWN) text_add(&d->out, "  %-20s %" PRId64 " to train on\n", name, count[k]);
        json_object_set_new(list, set->class_name[k], json_integer(count[k]));
    }
    if (set->classes > SHOWN) text_add(&d->out, "  ...\n");
    json_object_set_new(d->json, "classes", list);
    mem_free(count);
    return 0;
}

static int describe_dataset(describer *d, const char *path, pcv_error *err) {
    dataset *set = NULL;
    int status = dataset_open(&set, path, 1, err);
    if (status) return status;
    add_text(d, "kind", "kind", "data set");
    add_text(d, "data", "data", set->kind);
    add_digest(d, "digest", "data digest", set->digest);
    add_text(d, "tokenizer", "tokenizer", set->tokens.type->name);
    add_digest(d, "meaning", "tokenizer digest", set->meaning);
    add_number(d, "vocab_size", "vocabulary", set->tokens.vocab);
    if (set->classes && !set->generated) status = add_classes(d, set, err);
    for (int s = 0; s < 3 && !set->generated; s++) {
        char key[64], label[64];
        int64_t tokens = 0, documents = dataset_documents(set, (split_name)s);
        for (int64_t i = 0; i < documents; i++) tokens += dataset_length(set, (split_name)s, i);
        snprintf(key, sizeof key, "%s_documents", split_names[s]);
        snprintf(label, sizeof label, "%s documents", split_names[s]);
        add_number(d, key, label, documents);
        snprintf(key, sizeof key, "%s_tokens", split_names[s]);
        snprintf(label, sizeof label, "%s tokens", split_names[s]);
        add_number(d, key, label, tokens);
    }
    dataset_close(set);
    return status;
}

static int describe(describer *d, const char *path, pcv_error *err) {
    char config[PATH_SIZE], about[PATH_SIZE];
    bool generated = generator_of(path) != NULL;
    if (!strcmp(path, "-")) return describe_file(d, path, err);
    if (!generated && !path_exists(path)) return fail(err, PCV_NOINPUT, "%s: no such file or folder", path);
    if (!generated && !path_is_folder(path)) return describe_file(d, path, err);
    int status = path_join(config, path, RUN_CONFIG, err);
    if (!status) status = path_join(about, path, DATASET_ABOUT, err);
    if (status) return status;
    if (generated || path_exists(about)) return describe_dataset(d, path, err);
    if (path_exists(config)) return describe_run(d, path, err);
    return fail(err, PCV_DATA, "%s: neither a run (config.json) nor a data set (dataset.json)", path);
}

int info_describe(const char *path, pcv_info_form form, char **description, pcv_error *err) {
    bool json = form == PCV_INFO_JSON;
    describer d = {.json = json_object(), .tensors = form == PCV_INFO_TENSORS};
    *description = NULL;
    int status = d.json ? describe(&d, path, err) : fail(err, PCV_MEMORY, "not enough memory");
    if (!status && json) {
        d.out.size = 0;
        json_print(&d.out, d.json, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    }
    if (!status && text_ok(&d.out)) {
        *description = d.out.data;
        d.out.data = NULL;
    }
    if (!status && !*description) status = fail(err, PCV_MEMORY, "not enough memory to describe %s", path);
    text_free(&d.out);
    json_decref(d.json);
    return status;
}
