/* What a run, a data set or a safetensors file holds. */
#include "base/file.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "config/settings.h"
#include "data/dataset.h"
#include "gen/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct describer {
    text out;
    json_t *json; /* the same for programs */
} describer;

static void add_text(describer *d, const char *key, const char *label, const char *value) {
    text_add(&d->out, "%-22s %s\n", label, value);
    json_object_set_new(d->json, key, json_string(value));
}

static void add_number(describer *d, const char *key, const char *label, int64_t value) {
    text_add(&d->out, "%-22s %" PRId64 "\n", label, value);
    json_object_set_new(d->json, key, json_integer(value));
}

static void add_tensors(describer *d, const safetensors *file) {
    json_t *list = json_array();
    int64_t total = 0;
    for (int i = 0; i < file->count; i++) {
        const safetensors_entry *e = &file->entries[i];
        char shape[256] = "";
        size_t used = 0;
        json_t *sizes = json_array();
        for (int k = 0; k < e->rank; k++) {
            used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRId64, k ? ", " : "", e->shape[k]);
            json_array_append_new(sizes, json_integer(e->shape[k]));
        }
        total += e->elements;
        text_add(&d->out, "  %-48s %-5s [%s]\n", e->name, e->type, shape);
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", e->name, "dtype", e->type, "shape", sizes));
    }
    json_object_set_new(d->json, "tensors", list);
    add_number(d, "parameters", "parameters", total);
}

static int describe_file(describer *d, const char *path, pcv_error *err) {
    safetensors file;
    int status = safetensors_open(&file, path, err);
    if (status) return status;
    add_text(d, "kind", "kind", "safetensors file");
    add_number(d, "tensor_count", "tensors", file.count);
    add_tensors(d, &file);
    safetensors_close(&file);
    return 0;
}

static void add_settings(describer *d, const field_table *table, const void *object, const char *name) {
    json_t *all = json_object();
    for (int i = 0; i < table->count; i++) {
        char value[FIELD_TEXT];
        if (!table->rows[i].initial) continue;
        field_print(&table->rows[i], object, value, sizeof value);
        text_add(&d->out, "  %-32s %s\n", table->rows[i].key, value[0] ? value : "-");
    }
    if (!fields_write(table, object, all, NULL)) json_object_set(d->json, name, all);
    json_decref(all);
}

static int describe_run(describer *d, const char *run, pcv_error *err) {
    char path[PATH_SIZE];
    model_config *config = NULL;
    train_config train;
    json_t *extra = NULL;
    tokenizer tokens = {0};
    safetensors file = {.fd = -1};
    int status = 0;
    TRY(mem_get(&config, sizeof *config, "a configuration", err));
    TRY(path_join(path, run, RUN_CONFIG, err));
    TRY(config_read(path, config, &train, &extra, err));
    TRY(tokenizer_load(&tokens, run, err));
    const char *data = json_string_value(json_object_get(extra, "dataset"));
    add_text(d, "kind", "kind", "run");
    add_text(d, "dataset", "data set", data ? data : "?");
    add_text(d, "tokenizer", "tokenizer", tokens.type->name);
    text_add(&d->out, "model\n");
    add_settings(d, &model_fields, config, "model");
    text_add(&d->out, "training\n");
    add_settings(d, &train_fields, &train, "training");
    TRY(path_join(path, run, RUN_WEIGHTS, err));
    if (!path_exists(path)) {
        add_text(d, "weights", "weights", "none yet");
        goto out;
    }
    TRY(safetensors_open(&file, path, err));
    text_add(&d->out, "tensors\n");
    add_tensors(d, &file);
out:
    tokenizer_close(&tokens);
    if (file.fd >= 0) safetensors_close(&file);
    json_decref(extra);
    mem_free(config);
    return status;
}

static int describe_dataset(describer *d, const char *path, pcv_error *err) {
    dataset *set = NULL;
    int status = dataset_open(&set, path, 1, err);
    if (status) return status;
    add_text(d, "kind", "kind", "data set");
    add_text(d, "data", "data", set->kind);
    add_text(d, "tokenizer", "tokenizer", set->tokens.type->name);
    add_number(d, "vocab_size", "vocabulary", set->tokens.vocab);
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
    return 0;
}

static int describe(describer *d, const char *path, pcv_error *err) {
    char config[PATH_SIZE], about[PATH_SIZE];
    bool generated = !strncmp(path, "copy:", 5);
    if (!generated && !path_exists(path)) return fail(err, PCV_NOINPUT, "%s: no such file or folder", path);
    if (!generated && !path_is_folder(path)) return describe_file(d, path, err);
    int status = path_join(config, path, RUN_CONFIG, err);
    if (!status) status = path_join(about, path, "dataset.json", err);
    if (status) return status;
    if (generated || path_exists(about)) return describe_dataset(d, path, err);
    if (path_exists(config)) return describe_run(d, path, err);
    return fail(err, PCV_DATA, "%s: neither a run (config.json) nor a data set (dataset.json)", path);
}

int pcv_info(const char *path, bool json, char **description, pcv_error *err) {
    describer d = {.json = json_object()};
    *description = NULL;
    int status = d.json ? describe(&d, path, err) : fail(err, PCV_MEMORY, "not enough memory");
    if (!status && json) *description = json_dumps(d.json, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    else if (!status && text_ok(&d.out)) {
        *description = d.out.data;
        d.out.data = NULL;
    }
    if (!status && !*description) status = fail(err, PCV_MEMORY, "not enough memory to describe %s", path);
    text_free(&d.out);
    json_decref(d.json);
    return status;
}

void pcv_text_free(char *description) { mem_free(description); }
