#include "data/dataset.h"
#include "base/mem.h"
#include "data/example.h"
#include "data/generated.h"
#include "model/model.h"

#include <stdio.h>
#include <string.h>

int dataset_open(dataset **out, const char *name, uint64_t seed, pcv_error *err) {
    dataset *d = NULL;
    int status = mem_get(&d, sizeof *d, "a data set", err);
    if (status) return status;
    d->seed = seed;
    d->first_target = 1;
    snprintf(d->name, sizeof d->name, "%s", name);
    status = generator_of(name) ? generated_open(d, name, err) : folder_open(d, name, err);
    if (status) dataset_close(d);
    else *out = d;
    return status;
}

void dataset_close(dataset *d) {
    if (!d) return;
    if (d->type) d->type->close(d);
    tokenizer_close(&d->tokens);
    mem_free(d);
}

bool dataset_is(const dataset *d, const char *digest, const char *place, bool *assumed) {
    char absolute[PATH_SIZE];
    *assumed = !d->digest[0] || !digest || !digest[0];
    if (!*assumed) return !strcmp(d->digest, digest);
    path_absolute(absolute, place);
    return !strcmp(d->place, d->generated ? place : absolute);
}

int dataset_check_meaning(const dataset *d, const tokenizer *t, const char *owner, pcv_error *err) {
    char own[HASH_TEXT];
    int status = tokenizer_meaning(t, own, err);
    if (status || !strcmp(own, d->meaning)) return status;
    if (d->tokens.type != t->type)
        return fail(err, PCV_DATA, "%s: %lld ids of tokenizer %s, but %s was trained with %lld of %s", d->name,
                    (long long)d->tokens.vocab, d->tokens.type->name, owner, (long long)t->vocab, t->type->name);
    return fail(err, PCV_DATA, "%s: its ids mean other things than those that %s was trained with: tokenizer %s with "
                "other settings, or that learned from other data", d->name, owner, t->type->name);
}

int dataset_bytes_of_piece(const dataset *d, split_name split, double *ratio, pcv_error *err) {
    int32_t ids[4096];
    double pieces = 0;
    *ratio = 1;
    if (!d->tokens.rewrites || d->bytes[split] <= 0) return 0;
    for (int64_t k = 0; k < dataset_documents(d, split); k++) {
        int64_t length = dataset_length(d, split, k), n;
        for (int64_t at = 0; at < length; at += n) {
            size_t size;
            n = length - at < (int64_t)(sizeof ids / sizeof *ids) ? length - at : (int64_t)(sizeof ids / sizeof *ids);
            int status = dataset_read(d, split, k, at, n, ids, err);
            if (status) return status;
            for (int64_t i = 0; i < n; i++, pieces += (double)size) d->tokens.type->piece(&d->tokens, ids[i], &size);
        }
    }
    if (pieces > 0) *ratio = (double)d->bytes[split] / pieces;
    return 0;
}

int64_t dataset_documents(const dataset *d, split_name split) {
    return d->type->documents(d, split);
}

int64_t dataset_length(const dataset *d, split_name split, int64_t document) {
    return d->type->length(d, split, document);
}

int dataset_read(const dataset *d, split_name split, int64_t document, int64_t from, int64_t count,
                 int32_t *ids, pcv_error *err) {
    int64_t length = dataset_length(d, split, document);
    CHECK(from >= 0 && count >= 0 && from + count <= length, "tokens %lld to %lld of %lld",
          (long long)from, (long long)(from + count), (long long)length);
    return d->type->read(d, split, document, from, count, ids, err);
}

int64_t dataset_next_target(const dataset *d, split_name split, int64_t document, int64_t i) {
    if (d->type->next_target) return d->type->next_target(d, split, document, i);
    return i < d->first_target ? d->first_target : i;
}

int64_t dataset_last_targets(const dataset *d, split_name split, int64_t most) {
    enum { DOCUMENTS = 16 };
    int64_t targets = 0, documents = dataset_documents(d, split);
    if (documents > DOCUMENTS) documents = DOCUMENTS;
    for (int64_t k = 0; k < documents; k++) {
        int64_t length = dataset_length(d, split, k), i = length > most ? length - most : 0;
        while ((i = dataset_next_target(d, split, k, i)) < length) targets++, i++;
    }
    return documents ? (targets + documents - 1) / documents : 0;
}

void dataset_resize(dataset *d, int64_t length) {
    if (d->type->resize) d->type->resize(d, length);
}

void dataset_middle(const char *name, model_config *m) {
    const generator *by = generator_of(name);
    if (m->positions.middle >= 0 || model_type_of(m)->relative) return;
    m->positions.middle = 0;
    if (by && by->middle) generated_length(name, &m->positions.middle, NULL);
}

int dataset_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err) {
    const tokenizer *t = &d->tokens;
    field_ints *axes = &m->positions.axes;
    if (model_type_of(m)->answers) return example_shape(d, settings, m, err);
    if (d->masked)
        return fail(err, PCV_CONFIG, "%s was prepared with --task mask, but a %s tells what comes next; take --preset "
                    "hidden-words, or --arch perceiver-io", d->name, model_type_of(m)->name);
    if (m->vocab_size && m->vocab_size != t->vocab)
        return fail(err, PCV_CONFIG, "vocab_size is %lld, but %s has %lld ids", (long long)m->vocab_size, d->name,
                    (long long)t->vocab);
    m->vocab_size = t->vocab;
    dataset_middle(d->name, m);
    if (!t->axes || model_type_of(m)->relative) return 0;
    bool said = settings_get(settings, "positions") || m->positions.origin == ORIGIN_DATA; /* or a config.json did */
    if (m->positions.kind == POSITION_NONE && !said) m->positions.kind = POSITION_LEARNED;
    m->positions.origin = ORIGIN_DATA;
    if (m->positions.kind == POSITION_NONE) return 0;
    if (axes->count && axes->count != t->axes)
        return fail(err, PCV_CONFIG, "positions.axes has %lld axes, but the data of %s has %d", (long long)axes->count,
                    d->name, t->axes);
    for (int a = 0; a < t->axes; a++) {
        if (!axes->count) axes->v[a] = t->axis_rows[a];
        if (axes->v[a] < t->axis_rows[a])
            return fail(err, PCV_CONFIG, "positions.axes has %lld rows on axis %d, but the data of %s needs %lld",
                        (long long)axes->v[a], a, d->name, (long long)t->axis_rows[a]);
    }
    axes->count = t->axes;
    return 0;
}
