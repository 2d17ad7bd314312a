/* Any bytes as a data set: tokenizer.json, dataset.json, tokens and offsets, in parts of a length of two bytes; every token
 * of what opens is read. */
#include "base/mem.h"
#include "data/folder.h"
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

static void read_all(const dataset *d, split_name split) {
    for (int64_t i = 0; i < dataset_documents(d, split); i++) {
        int64_t count = dataset_length(d, split, i);
        pcv_error err;
        int32_t *ids;
        if (mem_get(&ids, (size_t)count * sizeof *ids, "tokens", &err)) abort();
        if (!dataset_read(d, split, i, 0, count, ids, &err))
            for (int64_t k = 0; k < count; k++)
                if (ids[k] < 0 || ids[k] >= d->tokens.vocab) abort();
        mem_free(ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *part[4];
    size_t bytes[4];
    char name[32];
    dataset *d;
    pcv_error err;
    for (int i = 0; i < 4; i++) part[i] = fuzz_part(&data, &size, &bytes[i]);
    fuzz_file("tokenizer.json", part[0], bytes[0]);
    fuzz_file("dataset.json", part[1], bytes[1]);
    for (int i = 0; i < SPLITS; i++) {
        snprintf(name, sizeof name, "%s.tokens", split_names[i]);
        fuzz_file(name, part[2], bytes[2]);
        snprintf(name, sizeof name, "%s.index", split_names[i]);
        fuzz_file(name, part[3], bytes[3]);
    }
    if (dataset_open(&d, fuzz_folder(), 1, &err)) return 0;
    for (int i = 0; i < SPLITS; i++) read_all(d, (split_name)i);
    dataset_close(d);
    return 0;
}
