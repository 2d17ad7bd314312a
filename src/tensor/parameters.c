#include "tensor/parameters.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PADDING = 16 }; /* elements: every tensor starts on a cache line */

static int grow(void *slot, int count, int *capacity, size_t size) {
    if (count < *capacity) return 0;
    int wanted = *capacity * 2 + 64;
    int status = mem_resize(slot, (size_t)wanted * size, "the parameter list", NULL);
    if (!status) *capacity = wanted;
    return status;
}

static int push_name(parameters *p, const char *name) {
    int status = grow(&p->name, p->names, &p->name_capacity, sizeof *p->name);
    if (!status) status = mem_string(&p->name[p->names], name, NULL);
    if (!status) p->names++;
    return status;
}

/* Adds "a.x.c", "a.y.c" for "a.{x,y}.c". Returns how many; 0 when memory ran out. */
static int push_names(parameters *p, const char *pattern) {
    const char *open = strchr(pattern, '{'), *close = strchr(pattern, '}');
    if (!open || !close) return push_name(p, pattern) ? 0 : 1;
    int count = 0;
    for (const char *at = open + 1; at < close; count++) {
        const char *end = at + strcspn(at, ",}");
        char name[256];
        snprintf(name, sizeof name, "%.*s%.*s%s", (int)(open - pattern), pattern, (int)(end - at), at,
                 close + 1);
        if (push_name(p, name)) return 0;
        at = end + 1;
    }
    return count;
}

tensor *parameters_add(parameters *p, const char *name, int64_t rows, int64_t cols, param_init init) {
    parameter *q = NULL;
    int first = p->names, names = push_names(p, name);
    if (!names || grow(&p->list, p->count, &p->capacity, sizeof *p->list) ||
        mem_get(&q, sizeof *q, "a parameter", NULL)) {
        p->status = PCV_MEMORY;
        return &p->nowhere;
    }
    CHECK((init.vector ? cols : rows) % names == 0, "%s: [%lld, %lld] for %d names", name,
          (long long)rows, (long long)cols, names);
    *q = (parameter){.offset = p->elements, .init = init, .first = first, .names = names};
    q->t.m = (matrix){.rows = rows, .cols = cols, .stride = cols};
    size_t size = (size_t)(rows * cols);
    p->elements += (size + PADDING - 1) / PADDING * PADDING;
    if (!init.state) p->total += rows * cols;
    p->list[p->count++] = q;
    return &q->t;
}

static int alloc_block(parameters *p, matrix *block, dtype type, const char *purpose, pcv_error *err) {
    *block = (matrix){.rows = 1, .cols = (int64_t)p->elements, .stride = (int64_t)p->elements, .type = type};
    int status = backend_alloc(p->be, &block->data, matrix_bytes(block), purpose, err);
    if (!status) run_kernel(p->be, fill, .y = *block); /* padding stays zero */
    return status;
}

int parameters_alloc(parameters *p, backend *be, bool grads, pcv_error *err) {
    int status = 0;
    p->be = be;
    if (p->status) return fail(err, PCV_MEMORY, "not enough memory for the parameter list");
    bool rounds = be->real != be->exact;
    TRY(alloc_block(p, &p->values, be->exact, "the model's weights", err));
    if (rounds) TRY(alloc_block(p, &p->rounded, be->real, "rounded weights", err));
    if (grads) TRY(alloc_block(p, &p->grads, be->exact, "gradients", err));
    for (int i = 0; i < p->count; i++) {
        tensor *t = &p->list[i]->t;
        int64_t offset = (int64_t)p->list[i]->offset;
        t->m.type = be->real;
        t->m.data = matrix_columns(rounds ? p->rounded : p->values, offset, 0).data;
        t->wants_grad = grads && !p->list[i]->init.state;
        if (!grads) continue;
        t->grad = t->m;
        t->grad.type = be->exact;
        t->grad.data = matrix_columns(p->grads, offset, 0).data;
    }
out:
    return status;
}

void parameters_free(parameters *p) {
    matrix *block[] = {&p->values, &p->rounded, &p->grads};
    for (int i = 0; i < 3 && p->be; i++) backend_free(p->be, block[i]->data, matrix_bytes(block[i]));
    for (int i = 0; i < p->count; i++) mem_free(p->list[i]);
    for (int i = 0; i < p->names; i++) mem_free(p->name[i]);
    mem_free(p->list);
    mem_free(p->name);
    *p = (parameters){0};
}

matrix parameters_values(const parameters *p, const tensor *t) {
    const parameter *q = (const parameter *)t; /* its first member */
    matrix m = t->m;
    m.type = p->values.type;
    m.data = matrix_columns(p->values, (int64_t)q->offset, 0).data;
    return m;
}

void parameters_round(const parameters *p) {
    if (p->rounded.data) run_kernel(p->be, copy, .y = p->rounded, .x = p->values);
}

/* Value k, in the order of rows. */
static double draw(rng *r, const parameter *q, int64_t k) {
    static const double cut = 0.87962566103423978; /* deviation of N(0, 1) cut at 2 */
    double x = rng_normal(r);
    switch (q->init.kind) {
    case INIT_ZERO: return 0;
    case INIT_ONE: return 1;
    case INIT_CONSTANT: return q->init.scale;
    case INIT_RAMP: return q->init.scale * (double)(k % q->t.m.cols);
    case INIT_NORMAL: return q->init.scale * x;
    case INIT_TRUNCATED:
    case INIT_FAN_IN: break;
    }
    while (fabs(x) > 2) x = rng_normal(r);
    if (q->init.kind == INIT_TRUNCATED) return q->init.scale * x;
    return q->init.scale * x / cut / sqrt((double)q->t.m.cols);
}

/* Draws the values of parameter i. Each has a stream of its own, so that many can be drawn at once. */
static int init_one(parameters *p, int i, uint64_t seed, pcv_error *err) {
    const parameter *q = p->list[i];
    matrix to = parameters_values(p, &q->t);
    int64_t count = to.rows * to.cols;
    rng r = rng_make(seed, RNG_INIT, (uint32_t)i);
    float *values = NULL;
    int status = mem_get(&values, (size_t)count * sizeof *values, "initial weights", err);
    for (int64_t k = 0; k < count && !status; k++) values[k] = (float)draw(&r, q, k);
#pragma omp critical(parameters_init)
    if (!status) backend_write_floats(p->be, &to, values);
    mem_free(values);
    return status;
}

int parameters_init(parameters *p, uint64_t seed, pcv_error *err) {
    int failed = 0;
#pragma omp parallel for schedule(dynamic) num_threads(p->be->threads)
    for (int i = 0; i < p->count; i++)
        if (init_one(p, i, seed, NULL)) {
#pragma omp atomic write
            failed = PCV_MEMORY;
        }
    if (failed) return fail(err, failed, "not enough memory for initial weights");
    parameters_round(p);
    return 0;
}

void parameters_clear_grads(parameters *p) {
    for (int i = 0; i < p->count; i++) p->list[i]->t.grad_written = false;
}

void parameters_point(parameters *p, matrix block) {
    if (p->rounded.data) run_kernel(p->be, copy, .y = p->rounded, .x = block);
    for (int i = 0; i < p->count && !p->rounded.data; i++)
        p->list[i]->t.m.data = matrix_columns(block, (int64_t)p->list[i]->offset, 0).data;
}

/* The tensor of q within a packed block, at byte *offset, which is moved behind it. */
static matrix packed_tensor(const parameter *q, dtype type, size_t *offset) {
    matrix m = q->t.m;
    if (q->init.decay) {
        m.type = type;
        m.stride = dtype_stride(type, m.cols);
    }
    m.data = NULL;
    *offset += (matrix_bytes(&m) + 63) / 64 * 64;
    return m;
}

int parameters_pack(parameters *p, dtype type, pcv_error *err) {
    size_t bytes = 0, at = 0;
    char *block = NULL;
    for (int i = 0; i < p->count; i++) packed_tensor(p->list[i], type, &bytes);
    int status = backend_alloc(p->be, &block, bytes, "packed weights", err);
    if (status) return status;
    for (int i = 0; i < p->count; i++) {
        tensor *t = &p->list[i]->t;
        char *data = block + at;
        matrix m = packed_tensor(p->list[i], type, &at);
        m.data = data;
        run_kernel(p->be, copy, .y = m, .x = t->m);
        t->m = m;
    }
    backend_free(p->be, p->values.data, matrix_bytes(&p->values));
    backend_free(p->be, p->rounded.data, matrix_bytes(&p->rounded));
    p->rounded = (matrix){0};
    p->values = (matrix){block, 1, (int64_t)(bytes / sizeof(float)), (int64_t)(bytes / sizeof(float)), F32};
    return 0;
}

parameter_slice parameters_slice(const parameters *p, int i) {
    int k = 0;
    while (i >= p->list[k]->first + p->list[k]->names) k++;
    const parameter *q = p->list[k];
    int64_t rows = q->t.m.rows, cols = q->t.m.cols;
    if (q->init.vector) cols /= q->names;
    else rows /= q->names;
    return (parameter_slice){p->name[i], q, rows, cols, q->offset + (size_t)((i - q->first) * rows * cols)};
}

int parameters_find(const parameters *p, const char *name) {
    for (int i = 0; i < p->names; i++)
        if (!strcmp(p->name[i], name)) return i;
    return -1;
}
