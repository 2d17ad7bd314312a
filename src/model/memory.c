/* Memories of segment recurrence, and how a checkpoint holds them: tensors "state.{layer}" and "count". */
#include "base/mem.h"
#include "base/safetensors.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>

int model_memory_open(model_memory **out, const model *m, int64_t batch, pcv_error *err) {
    const model_config *c = &m->config;
    model_memory *memory = NULL;
    int status = 0;
    *out = NULL;
    if (!m->type->remembers || c->memory == 0) return 0;
    TRY(mem_get(&memory, sizeof *memory, "a memory", err));
    memory->batch = batch;
    memory->rows = c->memory;
    memory->layers = c->layers;
    for (int i = 0; i < 2; i++) {
        TRY(mem_get(&memory->count[i], (size_t)batch * sizeof *memory->count[i], "a memory", err));
        TRY(mem_get(&memory->state[i], (size_t)c->layers * sizeof *memory->state[i], "a memory", err));
        for (int64_t l = 0; l < c->layers; l++) {
            matrix *x = &memory->state[i][l];
            *x = (matrix){.rows = batch * c->memory, .cols = c->channels, .stride = c->channels, .type = m->be->real};
            TRY(backend_alloc(m->be, &x->data, matrix_bytes(x), "a memory", err));
            run_kernel(m->be, fill, .y = *x);
        }
    }
    *out = memory;
out:
    if (status) model_memory_close(memory, m);
    return status;
}

void model_memory_close(model_memory *memory, const model *m) {
    if (!memory) return;
    for (int i = 0; i < 2; i++) {
        for (int64_t l = 0; memory->state[i] && l < memory->layers; l++)
            backend_free(m->be, memory->state[i][l].data, matrix_bytes(&memory->state[i][l]));
        mem_free(memory->state[i]);
        mem_free(memory->count[i]);
    }
    mem_free(memory);
}

void model_memory_forget(model_memory *memory, int64_t row) {
    memory->count[memory->pending ? !memory->current : memory->current][row] = 0;
}

/* ------------------------------------------------------------------ files */

static int newest(const model_memory *memory) { return memory->pending ? !memory->current : memory->current; }

int model_memory_save(const model_memory *memory, const model *m, const char *path, char hash[HASH_TEXT],
                      uint64_t *size, pcv_error *err) {
    const matrix *state = memory->state[newest(memory)];
    int64_t layers = memory->layers, values = memory->batch * memory->rows * m->config.channels;
    safetensors_plan *plan = NULL;
    char(*name)[32] = NULL;
    float *data = NULL;
    int status = 0;
    TRY(mem_get(&plan, (size_t)(layers + 1) * sizeof *plan, "a memory", err));
    TRY(mem_get(&name, (size_t)(layers + 1) * sizeof *name, "a memory", err));
    TRY(mem_get(&data, (size_t)(layers * values + memory->batch) * sizeof *data, "a memory", err));
    for (int64_t l = 0; l < layers; l++) {
        backend_read_floats(m->be, data + l * values, &state[l]);
        snprintf(name[l], sizeof name[l], "state.%lld", (long long)l);
        plan[l] = (safetensors_plan){.name = name[l], .type = "F32", .rank = 2, .data = data + l * values,
                                     .shape = {memory->batch * memory->rows, m->config.channels}};
    }
    float *count = data + layers * values;
    for (int64_t r = 0; r < memory->batch; r++) count[r] = (float)memory->count[newest(memory)][r];
    plan[layers] =
        (safetensors_plan){.name = "count", .type = "F32", .rank = 1, .shape = {memory->batch}, .data = count};
    TRY(safetensors_save(&(safetensors_writer){.plans = plan, .count = (int)layers + 1}, path, hash, size, err));
out:
    mem_free(plan);
    mem_free(name);
    mem_free(data);
    return status;
}

static int load_tensor(const safetensors *file, const char *name, int64_t rows, int64_t cols, float *out,
                       pcv_error *err) {
    const safetensors_entry *e = safetensors_find(file, name);
    if (!e || e->elements != rows * cols || e->bytes != (uint64_t)(rows * cols) * sizeof *out)
        return fail(err, PCV_DATA, "%s: tensor '%s' is missing or not F32 of %lld values", file->path, name,
                    (long long)(rows * cols));
    int status = safetensors_load(file, e, out, err);
    for (int64_t i = 0; i < rows * cols && !status; i++)
        if (!isfinite(out[i]))
            status = fail(err, PCV_DATA, "%s: tensor '%s' holds a value that is not finite", file->path, name);
    return status;
}

int model_memory_load(model_memory *memory, const model *m, const char *path, pcv_error *err) {
    int64_t rows = memory->batch * memory->rows, Z = m->config.channels;
    int to = newest(memory);
    safetensors file;
    float *data = NULL;
    int status = safetensors_open(&file, path, err);
    if (status) return status;
    TRY(mem_get(&data, (size_t)(rows * Z + memory->batch) * sizeof *data, "a memory", err));
    for (int64_t l = 0; l < memory->layers; l++) {
        char name[32];
        snprintf(name, sizeof name, "state.%lld", (long long)l);
        TRY(load_tensor(&file, name, rows, Z, data, err));
        backend_write_floats(m->be, &memory->state[to][l], data);
    }
    TRY(load_tensor(&file, "count", memory->batch, 1, data, err));
    for (int64_t r = 0; r < memory->batch; r++) {
        memory->count[to][r] = (int64_t)data[r];
        if (memory->count[to][r] < 0 || memory->count[to][r] > memory->rows)
            status = fail(err, PCV_DATA, "%s: tensor 'count' holds %g, expected 0 to %lld", path, (double)data[r],
                          (long long)memory->rows);
    }
out:
    safetensors_close(&file);
    mem_free(data);
    return status;
}
