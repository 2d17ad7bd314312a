#include "data/generated.h"
#include "base/mem.h"
#include "base/number.h"

#include <stdio.h>
#include <string.h>

static const generator *const generators[] = {&mirrored_copy, &associative_recall, &repeated_passage, &labelled_shapes,
                                            &labelled_sets, &moving_sprites, &moving_films};

static const int64_t ENDLESS = (int64_t)1 << 31;

typedef struct generated {
    const generator *by;
    int64_t length, longest; /* now, and as the name says */
} generated;

const generator *generator_of(const char *name) {
    for (size_t i = 0; i < sizeof generators / sizeof *generators; i++) {
        size_t size = strlen(generators[i]->name);
        if (!strncmp(name, generators[i]->name, size) && name[size] == ':') return generators[i];
    }
    return NULL;
}

int generated_length(const char *name, int64_t *tokens, pcv_error *err) {
    const generator *by = generator_of(name);
    const char *text = name + strlen(by->name) + 1;
    char where[64];
    snprintf(where, sizeof where, "%s:%.40s", by->name, text);
    int status = number_read_whole(where, text, by->least, by->most ? by->most : GENERATED_LONGEST, tokens, err);
    if (!status && by->even && *tokens % 2) status = fail(err, PCV_USAGE, "%s: expected an even length", where);
    return status;
}

/* ------------------------------------------------------------------ documents */

rng_block generated_numbers(const generated_document *g, uint32_t stream, int64_t i) {
    return rng_at(g->d->seed, RNG_TASK, (uint32_t)g->split | stream << 8, (uint64_t)g->number << 24 | (uint64_t)i);
}

int generated_byte(const generated_document *g, uint32_t stream, int64_t i) {
    rng_block b = generated_numbers(g, stream, i / 16);
    return (int)(b.v[i / 4 % 4] >> 8 * (i % 4) & 255);
}

static generated_document document_of(const dataset *d, split_name split, int64_t document) {
    return (generated_document){d, split, document, ((const generated *)d->state)->length};
}

static int64_t documents(const dataset *d, split_name split) {
    (void)d, (void)split;
    return ENDLESS;
}

static int64_t length(const dataset *d, split_name split, int64_t document) {
    (void)split, (void)document;
    return ((const generated *)d->state)->length;
}

static int read_document(const dataset *d, split_name split, int64_t document, int64_t from, int64_t count,
                         int32_t *ids, pcv_error *err) {
    (void)err;
    generated_document g = document_of(d, split, document);
    ((const generated *)d->state)->by->read(&g, from, count, ids);
    return 0;
}

static int64_t next_target(const dataset *d, split_name split, int64_t document, int64_t i) {
    generated_document g = document_of(d, split, document);
    return ((const generated *)d->state)->by->next_target(&g, i);
}

static int32_t label(const dataset *d, split_name split, int64_t document) {
    generated_document g = document_of(d, split, document);
    return ((const generated *)d->state)->by->label(&g);
}

static void close_generated(dataset *d) {
    for (int64_t i = 0; i < d->classes; i++) mem_free(d->class_name[i]);
    mem_free(d->class_name);
    mem_free(d->state);
}

static int name_classes(dataset *d, const char *const *names, pcv_error *err) {
    int64_t count = 0;
    while (names && names[count]) count++;
    int status = count ? mem_get(&d->class_name, (size_t)count * sizeof *d->class_name, "classes", err) : 0;
    for (; d->classes < count && !status; d->classes += !status)
        status = mem_string(&d->class_name[d->classes], names[d->classes], err);
    return status;
}

static void resize(dataset *d, int64_t length) {
    generated *s = d->state;
    if (s->by->tokens) return; /* a document is as long as its name says */
    s->length = length < s->by->least ? s->by->least : length > s->longest ? s->longest : length;
    if (s->by->even) s->length -= s->length % 2;
    d->first_target = s->by->first_target(s->length);
}

static const dataset_type all_count = {documents, length, read_document, close_generated, resize, NULL, label};
static const dataset_type some_count = {documents, length, read_document, close_generated, resize, next_target, label};

int generated_open(dataset *d, const char *name, pcv_error *err) {
    const generator *by = generator_of(name);
    int64_t tokens = 0;
    generated *s = NULL;
    int status = generated_length(name, &tokens, err);
    if (status) return status;
    status = mem_get(&s, sizeof *s, "a generated data set", err);
    if (status) return status;
    int64_t whole = by->tokens ? by->tokens * tokens * (by->square ? tokens : 1) + by->more + 1 : tokens;
    token_config config;
    fields_default(&token_fields, &config);
    if (by->square) config.size = tokens;
    if (by->frames) config.frames = by->frames, config.samples = by->samples;
    *s = (generated){.by = by, .length = whole, .longest = whole};
    d->type = by->next_target ? &some_count : &all_count;
    d->state = s;
    d->generated = true;
    d->unordered = by->unordered;
    resize(d, whole);
    d->first_target = by->first_target(s->length);
    snprintf(d->kind, sizeof d->kind, "%s", by->name);
    int size = snprintf(d->place, sizeof d->place, "%s:%lld", by->name, (long long)tokens);
    hash_bytes(d->place, (size_t)size, d->digest);
    status = tokenizer_open(&d->tokens, by->tokenizer ? by->tokenizer : "bytes", &config, err);
    if (!status) status = name_classes(d, by->classes, err);
    return status ? status : tokenizer_meaning(&d->tokens, d->meaning, err);
}
