#include "published.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double hashed(const char *name, uint32_t i) {
    uint32_t h = 2166136261u;
    for (const char *c = name; *c; c++) h = (h ^ (uint8_t)*c) * 16777619u;
    uint32_t x = h + i * 0x9E3779B9u;
    x = (x ^ x >> 16) * 0x85EBCA6Bu;
    x = (x ^ x >> 13) * 0xC2B2AE35u;
    x ^= x >> 16;
    return (double)(x >> 8) / 8388608.0 - 1;
}

float published_value(const char *name, int64_t inputs, uint32_t i) {
    const char *kind = strchr(name, ':') + 1;
    double u = hashed(name, i);
    if (!strcmp(kind, "w")) return (float)(u * sqrt(3.0 / (double)inputs));
    if (!strcmp(kind, "b") || !strcmp(kind, "offset") || !strcmp(kind, "bias")) return (float)(0.1 * u);
    if (!strcmp(kind, "average")) return (float)(strstr(name, "var_ema") ? 1 + 0.5 * u : 0.5 * u);
    return (float)(strcmp(kind, "scale") ? u : 1 + 0.1 * u);
}

double published_direction(const char *name, uint32_t i) {
    char full[512];
    snprintf(full, sizeof full, "direction:%s", name);
    return hashed(full, i);
}

uint32_t published_index(const renaming *n, const parameter_slice *s, int64_t r, int64_t c) {
    return (uint32_t)(n->transposed ? c * s->rows + r : r * s->cols + c);
}

void published_fill(model *m, published_name_fn *name_of) {
    for (int i = 0; i < m->params.names; i++) {
        parameter_slice s = parameters_slice(&m->params, i);
        const renaming *n = name_of(m, s.name);
        float *values = malloc((size_t)(s.rows * s.cols) * sizeof *values);
        for (int64_t r = 0; r < s.rows; r++)
            for (int64_t c = 0; c < s.cols; c++)
                values[r * s.cols + c] = published_value(n->published, s.cols, published_index(n, &s, r, c));
        matrix to = matrix_columns(m->params.values, (int64_t)s.offset, s.rows * s.cols);
        backend_write_floats(m->be, &to, values);
        free(values);
    }
    parameters_round(&m->params);
}

