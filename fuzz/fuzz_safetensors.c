/* Any bytes as a file of tensors: what it says of itself, and the values. */
#include "base/mem.h"
#include "base/safetensors.h"
#include "fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    safetensors file;
    pcv_error err;
    void *values;
    if (safetensors_open(&file, fuzz_file("model.safetensors", data, size), &err)) return 0;
    for (int i = 0; i < file.count; i++) {
        const safetensors_entry *e = file.entries + i;
        if (e->begin + e->bytes > file.data_size || safetensors_find(&file, e->name) != e) abort();
        if (mem_get(&values, e->bytes, "values", &err)) abort();
        if (safetensors_load(&file, e, values, &err)) abort();
        mem_free(values);
    }
    safetensors_close(&file);
    return 0;
}
