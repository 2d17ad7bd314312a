/* The mirrored copy task (Hawthorne et al. 2022, section 5.1): a start token, h random bytes, the same
 * bytes in reverse, an end token; LENGTH = 2 h + 2 tokens. The second half can be known perfectly by
 * who remembers the first. */
#include "base/number.h"
#include "data/dataset.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>

enum { LONGEST = 1 << 24 };
static const int64_t ENDLESS = (int64_t)1 << 31;

typedef struct copy_task {
    int64_t length, longest; /* now, and as the name says */
} copy_task;

static int64_t documents(const dataset *d, split_name split) {
    (void)d, (void)split;
    return ENDLESS;
}

static int64_t length(const dataset *d, split_name split, int64_t document) {
    (void)split, (void)document;
    return ((const copy_task *)d->state)->length;
}

/* Byte i of the first half of a document. */
static int32_t byte_at(const dataset *d, split_name split, int64_t document, int64_t i) {
    uint64_t index = (uint64_t)document << 24 | (uint64_t)(i / 16);
    rng_block b = rng_at(d->seed, RNG_TASK, (uint32_t)split, index);
    return d->tokens.first + (int32_t)(b.v[i / 4 % 4] >> 8 * (i % 4) & 255);
}

static int read_copy(const dataset *d, split_name split, int64_t document, int64_t from,
                     int64_t count, int32_t *ids, pcv_error *err) {
    (void)err;
    int64_t all = length(d, split, document), half = (all - 2) / 2;
    for (int64_t k = 0; k < count; k++) {
        int64_t i = from + k;
        if (i == 0) ids[k] = d->tokens.start;
        else if (i == all - 1) ids[k] = d->tokens.end;
        else ids[k] = byte_at(d, split, document, i <= half ? i - 1 : 2 * half - i);
    }
    return 0;
}

static void close_copy(dataset *d) { mem_free(d->state); }

static void resize(dataset *d, int64_t length) {
    copy_task *task = d->state;
    task->length = length < 4 ? 4 : length > task->longest ? task->longest : length / 2 * 2;
    d->first_target = task->length / 2;
}

static const dataset_type copy_type = {documents, length, read_copy, close_copy, resize};

int copy_length(const char *text, int64_t *tokens, pcv_error *err) {
    char where[64];
    snprintf(where, sizeof where, "copy:%.40s", text);
    int status = number_read_whole(where, text, 4, LONGEST, tokens, err);
    if (!status && *tokens % 2) status = fail(err, PCV_USAGE, "%s: expected an even length", where);
    return status;
}

int copy_open(dataset *d, const char *text, pcv_error *err) {
    int64_t n = 0;
    copy_task *task = NULL;
    int status = copy_length(text, &n, err);
    if (status) return status;
    status = mem_get(&task, sizeof *task, "the copy task", err);
    if (status) return status;
    task->longest = n;
    d->type = &copy_type;
    d->state = task;
    d->generated = true;
    resize(d, n);
    snprintf(d->kind, sizeof d->kind, "copy");
    int size = snprintf(d->place, sizeof d->place, "copy:%lld", (long long)n);
    hash_bytes(d->place, (size_t)size, d->digest);
    status = tokenizer_open(&d->tokens, "bytes", NULL, err);
    return status ? status : tokenizer_meaning(&d->tokens, d->meaning, err);
}
