#include "data/dataset.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

int dataset_open(dataset **out, const char *name, uint64_t seed, pcv_error *err) {
    static const char copy[] = "copy:";
    dataset *d = NULL;
    int status = mem_get(&d, sizeof *d, "a data set", err);
    if (status) return status;
    d->seed = seed;
    d->first_target = 1;
    snprintf(d->name, sizeof d->name, "%s", name);
    if (!strncmp(name, copy, sizeof copy - 1)) status = copy_open(d, name + sizeof copy - 1, err);
    else status = folder_open(d, name, err);
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

void dataset_resize(dataset *d, int64_t length) {
    if (d->type->resize) d->type->resize(d, length);
}

int dataset_vocabulary(const dataset *d, int64_t *wanted, pcv_error *err) {
    if (*wanted && *wanted != d->tokens.vocab)
        return fail(err, PCV_CONFIG, "vocab_size is %lld, but %s has %lld ids", (long long)*wanted, d->name,
                    (long long)d->tokens.vocab);
    *wanted = d->tokens.vocab;
    return 0;
}

int64_t dataset_bytes(const dataset *d, split_name split) {
    if (d->generated) return 0;
    int64_t bytes = 0, documents = dataset_documents(d, split);
    for (int64_t i = 0; i < documents; i++) bytes += dataset_length(d, split, i) - 2;
    return bytes;
}
