/* Parameters by name and file. A file holds the slices of one block after the other: tensor i is slice i mod names
 * of block i div names, under the block's prefix. They are read and written one by one through host memory, so
 * that no weights are held twice. Values are looked at when they are read: one that is not a number would make
 * every output so, and nobody could tell where it came from. */
#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct export {
    const parameters *p;
    const weight_block *blocks;
} export;

/* Tensor i of the file is slice i mod names of block i div names. */
static int read_slice(void *context, int index, uint64_t offset, void *out, size_t bytes) {
    const export *e = context;
    const weight_block *b = &e->blocks[index / e->p->names];
    parameter_slice s = parameters_slice(e->p, index % e->p->names);
    const char *from = (const char *)b->values.data + s.offset * sizeof(float) + offset;
    e->p->be->read(e->p->be, out, from, bytes);
    backend_finish(e->p->be);
    return 0;
}

static int make_plans(const parameters *p, const weight_block *blocks, int count,
                      safetensors_plan *plans, char (*names)[SAFETENSORS_NAME]) {
    for (int i = 0; i < count * p->names; i++) {
        parameter_slice s = parameters_slice(p, i % p->names);
        bool vector = s.owner->init.vector;
        snprintf(names[i], SAFETENSORS_NAME, "%s%s", blocks[i / p->names].prefix, s.name);
        plans[i] = (safetensors_plan){.name = names[i], .type = "F32", .rank = vector ? 1 : 2};
        plans[i].shape[0] = vector ? s.cols : s.rows;
        plans[i].shape[1] = s.cols;
    }
    return 0;
}

int weights_save(const parameters *p, const weight_block *blocks, int count, json_t *metadata,
                 const char *path, char hash[HASH_TEXT], uint64_t *size, pcv_error *err) {
    CHECK(p->be->exact == F32, "weights are saved from floats");
    safetensors_plan *plans = NULL;
    char(*names)[SAFETENSORS_NAME] = NULL;
    size_t tensors = (size_t)(count * p->names);
    int status = 0;
    TRY(mem_get(&plans, tensors * sizeof *plans, "a list of tensors", err));
    TRY(mem_get(&names, tensors * sizeof *names, "a list of tensors", err));
    make_plans(p, blocks, count, plans, names);
    export e = {p, blocks};
    safetensors_writer w = {.plans = plans, .count = (int)tensors, .metadata = metadata,
                            .read = read_slice, .context = &e};
    TRY(safetensors_save(&w, path, hash, size, err));
out:
    mem_free(plans);
    mem_free(names);
    return status;
}

static int load_tensor(const safetensors *file, const char *name, const parameter_slice *s,
                       const parameters *p, matrix block, pcv_error *err) {
    const safetensors_entry *e = safetensors_find(file, name);
    if (!e) return fail(err, PCV_DATA, "%s: tensor '%s' is missing", file->path, name);
    bool vector = s->owner->init.vector;
    bool fits = vector ? e->rank == 1 && e->shape[0] == s->cols
                       : e->rank == 2 && e->shape[0] == s->rows && e->shape[1] == s->cols;
    if (!fits || strcmp(e->type, "F32"))
        return fail(err, PCV_DATA, "%s: tensor '%s' is %s of %d dimensions, first %lld; expected F32 of "
                    "[%lld%s%lld]", file->path, name, e->type, e->rank,
                    (long long)(e->rank ? e->shape[0] : 1), (long long)(vector ? s->cols : s->rows),
                    vector ? "] = 1 x " : ", ", (long long)s->cols);
    float *values = NULL;
    int status = mem_get(&values, e->bytes, "a tensor", err);
    if (!status) status = safetensors_load(file, e, values, err);
    for (int64_t i = 0; !status && i < s->rows * s->cols; i++)
        if (!isfinite(values[i]))
            status = fail(err, PCV_DATA, "%s: tensor '%s' holds a value that is not finite (at %lld)",
                          file->path, name, (long long)i);
    matrix to = matrix_columns(block, (int64_t)s->offset, s->rows * s->cols);
    if (!status) backend_write_floats(p->be, &to, values);
    mem_free(values);
    return status;
}

static int load_blocks(const safetensors *file, const parameters *p, const weight_block *blocks, int count,
                       pcv_error *err) {
    int status = 0;
    for (int i = 0; i < count * p->names && !status; i++) {
        parameter_slice s = parameters_slice(p, i % p->names);
        const weight_block *b = &blocks[i / p->names];
        char name[SAFETENSORS_NAME];
        snprintf(name, sizeof name, "%s%s", b->prefix, s.name);
        status = load_tensor(file, name, &s, p, b->values, err);
    }
    return status;
}

int weights_load_one(const parameters *p, const weight_block *block, const char *path, pcv_error *err) {
    safetensors file;
    int status = safetensors_open(&file, path, err);
    if (status) return status;
    status = load_blocks(&file, p, block, 1, err);
    parameters_round(p);
    safetensors_close(&file);
    return status;
}

int weights_load(const parameters *p, const weight_block *blocks, int count, const char *path,
                 pcv_error *err) {
    safetensors file;
    int status = safetensors_open(&file, path, err);
    if (status) return status;
    status = load_blocks(&file, p, blocks, count, err);
    parameters_round(p);
    if (!status && file.count != count * p->names)
        status = fail(err, PCV_DATA, "%s: %d tensor%s, expected %d: not this model's", path, file.count,
                      plural(file.count), count * p->names);
    safetensors_close(&file);
    return status;
}

int weights_check_finite(const parameters *p, matrix block, const char *what, pcv_error *err) {
    matrix result = {.rows = 1, .cols = 1, .stride = 1, .type = p->be->exact};
    float sum = 0;
    int status = backend_alloc(p->be, &result.data, matrix_bytes(&result), "a sum", err);
    if (status) return status;
    run_kernel(p->be, sum_squares, .result = result, .x = block);
    backend_read_floats(p->be, &sum, &result);
    backend_free(p->be, result.data, matrix_bytes(&result));
    return isfinite(sum) ? 0 : fail(err, PCV_NUMERIC, "%s: a value is not finite", what);
}
