#include "data/content.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK = 1 << 16, CONTROL = 20 }; /* where a zero byte makes a file binary, or one control character in so many */

/* ------------------------------------------------------------------ one file */

static bool is_space(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool is_blank(const char *bytes, size_t size) {
    size_t i = 0;
    while (i < size && is_space((unsigned char)bytes[i])) i++;
    return i == size;
}

/* Backspaces and escapes are common in terminals' records. */
static bool is_control(unsigned char c) {
    return (c < ' ' && !is_space(c) && c != '\b' && c != '\033') || c == 0x7F;
}

static bool looks_binary(const unsigned char *bytes, size_t size) {
    size_t control = 0;
    for (size_t i = 0; i < size; i++) control += is_control(bytes[i]);
    return control * CONTROL > size || (control && memchr(bytes, 0, size));
}

int content_open(file_content *c, pcv_error *err) {
    *c = (file_content){.blank = true};
    return hash_open(&c->hasher, err);
}

void content_add(file_content *c, const void *bytes, size_t size) {
    if (c->size < LOOK) c->binary |= looks_binary(bytes, size < LOOK ? size : LOOK);
    c->blank = c->blank && is_blank(bytes, size);
    c->size += size;
    hash_add(&c->hasher, bytes, size);
}

void content_close(file_content *c) { hash_close(&c->hasher, c->hash); }

/* ------------------------------------------------------------------ all files */

/* The hash's slot, or the free one where it belongs. */
static content_entry *find(const content_set *set, const char *hash) {
    char begin[17];
    snprintf(begin, sizeof begin, "%.16s", hash);
    size_t i = (size_t)strtoull(begin, NULL, 16) & (set->capacity - 1);
    while (set->slots[i].owner && strcmp(set->slots[i].hash, hash)) i = (i + 1) & (set->capacity - 1);
    return &set->slots[i];
}

static int grow(content_set *set, pcv_error *err) {
    content_set more = {.capacity = set->capacity ? 2 * set->capacity : 64};
    int status = mem_get(&more.slots, more.capacity * sizeof *more.slots, "checksums of files", err);
    if (status) return status;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->slots[i].owner) *find(&more, set->slots[i].hash) = set->slots[i];
    more.count = set->count;
    content_set_free(set);
    *set = more;
    return 0;
}

int content_set_add(content_set *set, const char *hash, const void *owner, const void **before, pcv_error *err) {
    if (2 * set->count >= set->capacity) {
        int status = grow(set, err);
        if (status) return status;
    }
    content_entry *e = find(set, hash);
    *before = e->owner;
    if (e->owner) return 0;
    memcpy(e->hash, hash, HASH_TEXT);
    e->owner = owner;
    set->count++;
    return 0;
}

void content_set_free(content_set *set) {
    mem_free(set->slots);
    *set = (content_set){0};
}
