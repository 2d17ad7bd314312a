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
    p->total += rows * cols;
    p->list[p->count++] = q;
    return &q->t;
}

int parameters_alloc(parameters *p, backend *be, bool grads, pcv_error *err) {
    p->be = be;
    if (p->status) return fail(err, PCV_MEMORY, "not enough memory for the parameter list");
    matrix block = {.rows = 1, .cols = (int64_t)p->elements, .stride = (int64_t)p->elements,
                    .type = be->real};
    p->values = p->grads = block;
    int status = backend_alloc(be, &p->values.data, matrix_bytes(&block), "the model's weights", err);
    if (!status && grads)
        status = backend_alloc(be, &p->grads.data, matrix_bytes(&block), "gradients", err);
    if (status) return status;
    run_kernel(be, fill, .y = p->values);
    for (int i = 0; i < p->count; i++) {
        tensor *t = &p->list[i]->t;
        int64_t offset = (int64_t)p->list[i]->offset;
        t->m.type = be->real;
        t->m.data = matrix_columns(p->values, offset, 0).data;
        t->wants_grad = grads;
        if (!grads) continue;
        t->grad = t->m;
        t->grad.data = matrix_columns(p->grads, offset, 0).data;
    }
    if (grads) run_kernel(be, fill, .y = p->grads); /* padding stays zero */
    return 0;
}

void parameters_free(parameters *p) {
    if (p->be) {
        backend_free(p->be, p->values.data, matrix_bytes(&p->values));
        backend_free(p->be, p->grads.data, matrix_bytes(&p->grads));
    }
    for (int i = 0; i < p->count; i++) mem_free(p->list[i]);
    for (int i = 0; i < p->names; i++) mem_free(p->name[i]);
    mem_free(p->list);
    mem_free(p->name);
    *p = (parameters){0};
}

static double draw(rng *r, const parameter *q) {
    static const double cut = 0.87962566103423978; /* deviation of N(0, 1) cut at 2 */
    double x = rng_normal(r);
    switch (q->init.kind) {
    case INIT_ZERO: return 0;
    case INIT_ONE: return 1;
    case INIT_NORMAL: return q->init.scale * x;
    case INIT_TRUNCATED:
    case INIT_FAN_IN: break;
    }
    while (fabs(x) > 2) x = rng_normal(r);
    if (q->init.kind == INIT_TRUNCATED) return q->init.scale * x;
    return q->init.scale * x / cut / sqrt((double)q->t.m.cols);
}

int parameters_init(parameters *p, uint64_t seed, pcv_error *err) {
    for (int i = 0; i < p->count; i++) {
        const parameter *q = p->list[i];
        rng r = rng_make(seed, RNG_INIT, (uint32_t)i);
        float *row = NULL;
        int status = mem_get(&row, (size_t)q->t.m.cols * sizeof *row, "initial weights", err);
        if (status) return status;
        for (int64_t y = 0; y < q->t.m.rows; y++) {
            matrix m = matrix_rows(q->t.m, y, 1);
            for (int64_t x = 0; x < m.cols; x++) row[x] = (float)draw(&r, q);
            backend_write_floats(p->be, &m, row);
        }
        mem_free(row);
    }
    return 0;
}

void parameters_clear_grads(parameters *p) {
    for (int i = 0; i < p->count; i++) p->list[i]->t.grad_written = false;
}

void parameters_point(parameters *p, matrix block) {
    for (int i = 0; i < p->count; i++)
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
