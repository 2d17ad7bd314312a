/* The table of tokenizers and of the kinds of data, and what is alike for all of them: opening by name, the digest
 * of what ids mean, and tokenizer.json, which holds the rows of token_fields that the type reads and no others.
 * What a type has learned lies in files of its own beside it. */
#include "token/film.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/watch.h"
#include "config/run_files.h"

#include <stdio.h>
#include <string.h>

const token_type *const token_types[] = {
    &token_bytes, &token_bytes_262, &token_sentencepiece, &token_image, &token_midi,
    &token_midi_389, &token_mulaw, &token_rvq, &token_points, &token_flow, &token_film, NULL};

int id_list_add(id_list *list, const int32_t *ids, size_t count, pcv_error *err) {
    if (list->count + count > list->capacity) {
        size_t capacity = 2 * list->capacity + count + 1024;
        int status = mem_resize(&list->v, capacity * sizeof *ids, "a document's tokens", err);
        if (status) return status;
        list->capacity = capacity;
    }
    if (count) memcpy(list->v + list->count, ids, count * sizeof *ids);
    list->count += count;
    return 0;
}

void id_list_free(id_list *list) {
    mem_free(list->v);
    *list = (id_list){0};
}

enum { MOST_BYTE_IDS = 300 }; /* those of 256 bytes and a few of other use; a vocabulary of pieces has more */

const data_kind data_kinds[] = {
    {.name = "bytes", .types = "text", .unit = "byte", .ids = MOST_BYTE_IDS, .raw = true},
    {.name = "text", .types = "text", .unit = "byte", .ids = MOST_BYTE_IDS},
    {.name = "image", .types = "image", .unit = "dimension", .ids = INT64_MAX},
    {.name = "midi", .types = "midi"},
    {.name = "audio", .types = "audio"},
    {.name = "points", .types = "points"},
    {.name = "pairs", .types = "pairs", .named_by = ".flo"},
    {.name = "video", .types = "video", .first = film_is_frame},
    {0}};

const data_kind *data_kind_of(const char *name) {
    const data_kind *k = data_kinds;
    while (k->name && strcmp(k->name, name)) k++;
    return k->name ? k : NULL;
}

const token_type *tokenizer_of_kind(const char *kind) {
    for (int i = 0; token_types[i]; i++)
        if (!strcmp(token_types[i]->kind, kind)) return token_types[i];
    return NULL;
}

int tokenizer_choose(const char *choice, const char **name, token_config *config, pcv_error *err) {
    static const char pieces[] = "sentencepiece:", file[] = ".model";
    size_t size = strlen(choice);
    *name = choice;
    if (!strncmp(choice, pieces, sizeof pieces - 1)) {
        const field *f = fields_by_key(&token_fields, "pieces");
        *name = token_sentencepiece.name;
        return field_parse(f, config, choice + sizeof pieces - 1, "--tokenizer", err);
    }
    if (size < sizeof file || strcmp(choice + size - (sizeof file - 1), file)) return 0;
    *name = token_sentencepiece.name;
    if (size >= sizeof config->model) return fail(err, PCV_USAGE, "--tokenizer: the path is too long");
    memcpy(config->model, choice, size + 1);
    return 0;
}

static int no_such_tokenizer(const char *name, pcv_error *err) {
    char names[256] = "";
    for (int i = 0; token_types[i]; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s, ", token_types[i]->name);
    }
    return fail(err, PCV_USAGE, "tokenizer '%.80s': there is none of this name, expected one of %sor FILE.model", name,
                names);
}

int tokenizer_open(tokenizer *t, const char *name, const token_config *config, pcv_error *err) {
    for (int i = 0; token_types[i]; i++) {
        if (strcmp(name, token_types[i]->name)) continue;
        *t = (tokenizer){.type = token_types[i]};
        if (config) t->config = *config;
        else fields_default(&token_fields, &t->config);
        int status = t->type->open(t, err);
        if (status) tokenizer_close(t);
        else if (!t->mask) t->mask = t->pad;
        return status;
    }
    return no_such_tokenizer(name, err);
}

void tokenizer_close(tokenizer *t) {
    if (t->type && t->type->close) t->type->close(t);
    *t = (tokenizer){0};
}

int tokenizer_read_any(const tokenizer *t, const char *path, id_list *ids, const pcv_watch *watch, pcv_error *err) {
    pcv_error reason = {0};
    int status = t->type->read(t, path, ids, &reason);
    fail_rename(&reason, "-", STANDARD_INPUT);
    if (status) return fail(err, status, "%s", reason.message);
    if (reason.message[0]) watch_say(watch, "warning: %s", reason.message);
    return 0;
}

int tokenizer_read(const tokenizer *t, const char *path, id_list *ids, pcv_error *err) {
    size_t before = ids->count;
    err->message[0] = 0;
    int status = t->type->read(t, path, ids, err);
    if (status || ids->count > before) return status;
    return fail(err, PCV_DATA, "%s: nothing in it, so there are no tokens", path);
}

void tokenizer_position(const void *tokens, int64_t index, int32_t *at) {
    const tokenizer *t = tokens;
    t->type->position(t, index, at);
}

int64_t tokenizer_place(const void *tokens, int64_t index) {
    const tokenizer *t = tokens;
    if (!t->axes) return 0;
    return t->period && index > t->period ? (index - 1) % t->period + 1 : index;
}

int tokenizer_meaning(const tokenizer *t, char hex[HASH_TEXT], pcv_error *err) {
    text all = {0};
    text_add(&all, "%s %lld ", t->type->name, (long long)t->vocab);
    if (t->type->meaning) t->type->meaning(t, &all);
    bool ok = text_ok(&all);
    if (ok) hash_bytes(all.data, all.size, hex);
    text_free(&all);
    return ok ? 0 : fail(err, PCV_MEMORY, "not enough memory for a tokenizer's digest");
}

int tokenizer_save(const tokenizer *t, const char *folder, pcv_error *err) {
    char path[PATH_SIZE];
    int status = 0;
    json_t *json = json_pack("{s:s, s:I}", "kind", t->type->name, "vocab_size", (json_int_t)t->vocab);
    json_t *all = json_object(), *config = json_object();
    if (!json || !all || !config) status = fail(err, PCV_MEMORY, "not enough memory to write a tokenizer");
    if (!status) status = fields_write(&token_fields, &t->config, all, err);
    for (int i = 0; !status && t->type->keys && t->type->keys[i]; i++)
        if (json_object_set(config, t->type->keys[i], json_object_get(all, t->type->keys[i])))
            status = fail(err, PCV_MEMORY, "not enough memory to write a tokenizer");
    if (!status && t->type->keys && json_object_set(json, "config", config))
        status = fail(err, PCV_MEMORY, "not enough memory to write a tokenizer");
    if (!status) status = path_own(path, folder, RUN_TOKENIZER, err);
    if (!status) status = json_write(json, path, err);
    if (!status && t->type->save) status = t->type->save(t, folder, err);
    json_decref(config);
    json_decref(all);
    json_decref(json);
    return status;
}

int tokenizer_load(tokenizer *t, const char *folder, pcv_error *err) {
    char path[PATH_SIZE], where[PATH_SIZE + 16];
    json_t *json = NULL;
    const json_t *given;
    const char *kind;
    token_config config;
    pcv_error reason;
    int64_t vocab;
    int status = 0;
    *t = (tokenizer){0};
    TRY(path_join(path, folder, RUN_TOKENIZER, err));
    TRY(json_read(&json, path, 1 << 20, err));
    TRY(json_get_string(json, "kind", &kind, path, err));
    memset(&config, 0, sizeof config);
    fields_default(&token_fields, &config);
    given = json_object_get(json, "config");
    snprintf(where, sizeof where, "%s: config", path);
    if (given) TRY(fields_read(&token_fields, &config, given, NULL, where, err));
    if (tokenizer_open(t, kind, &config, &reason)) {
        status = fail(err, PCV_DATA, "%s: 'kind' is '%.80s': %s", path, kind, reason.message);
        goto out;
    }
    if (t->type->load) TRY(t->type->load(t, folder, err));
    if (json_object_get(json, "vocab_size"))
        TRY(json_get_int(json, "vocab_size", t->vocab, t->vocab, &vocab, path, err));
out:
    if (status) tokenizer_close(t);
    json_decref(json);
    return status;
}
