#include "nn/positions.h"

#include <math.h>

static int constant_of(tensor *out, backend *be, dtype type, const float *values, int64_t rows, int64_t cols,
                       pcv_error *err) {
    *out = (tensor){.m = {.rows = rows, .cols = cols, .stride = dtype_stride(type, cols), .type = type}};
    int status = backend_alloc(be, &out->m.data, matrix_bytes(&out->m), "position tables", err);
    if (!status) backend_write_floats(be, &out->m, values);
    return status;
}

int constant_make(tensor *out, backend *be, const float *values, int64_t rows, int64_t cols, pcv_error *err) {
    return constant_of(out, be, be->exact, values, rows, cols, err);
}

void constant_free(tensor *x, backend *be) {
    backend_free(be, x->m.data, matrix_bytes(&x->m));
    *x = (tensor){0};
}

int rotary_frequencies(tensor *out, backend *be, const model_config *c, int64_t width,
                       pcv_error *err) {
    const rotary_config *r = &c->positions.rotary;
    int64_t bands = model_rotary_bands(c, width);
    float *values = NULL;
    int status = mem_get(&values, (size_t)(bands + 1) * sizeof *values, "rotary frequencies", err);
    if (status) return status;
    double last = r->endpoint ? (double)(bands - 1) : (double)bands;
    for (int64_t j = 0; j < bands; j++)
        values[j] = (float)(last > 0 ? pow(r->base, -(double)j / last) : 1);
    status = constant_make(out, be, values, 1, bands, err);
    mem_free(values);
    return status;
}

/* Angle of band j at position p is first + p * step. */
static void band(position_kind kind, int64_t rows, int64_t bands, int64_t j, double *first,
                 double *step) {
    const double pi = 3.14159265358979323846;
    *first = 0;
    if (kind == POSITION_SINUSOIDAL) {
        *step = bands > 1 ? exp(-(double)j * log(10000.0) / (double)(bands - 1)) : 1;
        return;
    }
    double frequency = bands > 1 ? 1 + ((double)rows / 2 - 1) * (double)j / (double)(bands - 1) : 1;
    *first = -pi * frequency;
    *step = rows > 1 ? 2 * pi * frequency / (double)(rows - 1) : 0;
}

int harmonic_table(tensor *out, backend *be, position_kind kind, double scale, int64_t rows, int64_t channels,
                   pcv_error *err) {
    int64_t bands = channels / 2;
    float *table = NULL;
    int status = mem_get(&table, (size_t)(rows * channels) * sizeof *table, "position tables", err);
    if (status) return status;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < bands; j++) {
            double first, step;
            band(kind, rows, bands, j, &first, &step);
            table[i * channels + j] = (float)(scale * sin(first + (double)i * step));
            table[i * channels + bands + j] = (float)(scale * cos(first + (double)i * step));
        }
    status = constant_make(out, be, table, rows, channels, err);
    mem_free(table);
    return status;
}

int harmonic_factors(tensor *low, tensor *high, backend *be, position_kind kind, double scale, int64_t rows,
                     int64_t channels, pcv_error *err) {
    int64_t bands = channels / 2, blocks = (rows + HARMONIC_BLOCK - 1) / HARMONIC_BLOCK;
    int64_t most = blocks > HARMONIC_BLOCK ? blocks : HARMONIC_BLOCK;
    float *table = NULL;
    int status = 0;
    TRY(mem_get(&table, (size_t)(most * channels) * sizeof *table, "position tables", err));
    for (int part = 0; part < 2; part++) { /* low: 0, 1, 2, ...; high: 0, 256, 512, ... */
        int64_t count = part ? blocks : HARMONIC_BLOCK, apart = part ? HARMONIC_BLOCK : 1;
        double factor = part ? scale : 1; /* the code is a sum of products of the two parts */
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j < bands; j++) {
                double first, step;
                band(kind, rows, bands, j, &first, &step);
                double angle = (part ? first : 0) + (double)(i * apart) * step;
                table[i * channels + j] = (float)(factor * sin(angle));
                table[i * channels + bands + j] = (float)(factor * cos(angle));
            }
        TRY(constant_make(part ? high : low, be, table, count, channels, err));
    }
out:
    mem_free(table);
    return status;
}

void fourier_features(const double *p, int64_t axes, const int64_t *resolution, int64_t bands, float *out) {
    const double pi = 3.14159265358979323846;
    for (int64_t a = 0; a < axes; a++) {
        float *sines = out + axes + a * bands, *cosines = sines + axes * bands;
        double last = (double)resolution[a] / 2;
        out[a] = (float)p[a];
        for (int64_t k = 0; k < bands; k++) {
            double frequency = bands > 1 ? 1 + (last - 1) * (double)k / (double)(bands - 1) : 1;
            sines[k] = (float)sin(pi * frequency * p[a]);
            cosines[k] = (float)cos(pi * frequency * p[a]);
        }
    }
}

void fourier_place(int64_t number, const field_ints *axes, const field_ints *resolution, int64_t bands, float *out) {
    double p[FIELD_LIST];
    for (int64_t a = axes->count - 1; a >= 0; number /= axes->v[a--])
        p[a] = -1 + 2 * (double)(number % axes->v[a]) / (double)axes->v[a];
    fourier_features(p, axes->count, resolution->v, bands, out);
}

int fourier_grid(tensor *out, backend *be, const field_ints *axes, const field_ints *resolution, int64_t bands,
                 pcv_error *err) {
    int64_t places = 1, width = axes->count * (2 * bands + 1);
    float *table = NULL;
    for (int64_t a = 0; a < axes->count; a++) places *= axes->v[a];
    int status = mem_get(&table, (size_t)(places * width) * sizeof *table, "position tables", err);
    if (status) return status;
    for (int64_t i = 0; i < places; i++) {
        double p[FIELD_LIST];
        for (int64_t a = axes->count - 1, left = i; a >= 0; left /= axes->v[a--])
            p[a] = axes->v[a] > 1 ? -1 + 2 * (double)(left % axes->v[a]) / (double)(axes->v[a] - 1) : -1;
        fourier_features(p, axes->count, resolution->count ? resolution->v : axes->v, bands, table + i * width);
    }
    status = constant_of(out, be, be->real, table, places, width, err);
    mem_free(table);
    return status;
}
