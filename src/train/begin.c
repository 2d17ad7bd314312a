#include "train/begin.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>

enum { PIECE = 1 << 12 };

/* ------------------------------------------------------------------ embeddings */

/* y [n] = x [size] map [size, n]; returns whether x says anything. */
static bool apply(const float *map, const float *x, int64_t size, int64_t n, float *y) {
    bool any = false;
    for (int64_t k = 0; k < n; k++) y[k] = 0;
    for (int64_t i = 0; i < size; i++) {
        if (x[i] == 0) continue;
        any = true;
        for (int64_t k = 0; k < n; k++) y[k] += x[i] * map[i * n + k];
    }
    return any;
}

static int embed_vectors(model *m, const tokenizer *t, uint64_t seed, pcv_error *err) {
    parameter_slice table = parameters_slice(&m->params, parameters_find(&m->params, "token_embedding.weight"));
    int64_t size = t->vector_size, width = table.cols;
    rng r = rng_make(seed, RNG_MAP, 0);
    float *map = NULL, *vector = NULL, *row = NULL;
    int status = 0;
    if (!t->type->vector) return 0;
    TRY(mem_get(&map, (size_t)(size * width) * sizeof *map, "a map", err));
    TRY(mem_get(&vector, (size_t)size * sizeof *vector, "a vector", err));
    TRY(mem_get(&row, (size_t)width * sizeof *row, "an embedding", err));
    for (int64_t i = 0; i < size * width; i++) map[i] = (float)(table.owner->init.scale * rng_normal(&r));
    for (int64_t id = 0; id < t->vocab; id++) {
        matrix to = matrix_rows(parameters_values(&m->params, &table.owner->t), id, 1);
        t->type->vector(t, (int32_t)id, vector);
        if (apply(map, vector, size, width, row)) backend_write_floats(m->be, &to, row);
    }
out:
    mem_free(map);
    mem_free(vector);
    mem_free(row);
    return status;
}

/* ------------------------------------------------------------------ output bias */

/* count [V] of targets in the train split */
static int count_targets(const dataset *d, int64_t *count, pcv_error *err) {
    int32_t ids[PIECE];
    int64_t documents = dataset_documents(d, SPLIT_TRAIN);
    for (int64_t i = 0; i < documents; i++) {
        int64_t length = dataset_length(d, SPLIT_TRAIN, i);
        for (int64_t from = d->first_target; from < length; from += PIECE) {
            int64_t n = length - from < PIECE ? length - from : PIECE;
            int status = dataset_read(d, SPLIT_TRAIN, i, from, n, ids, err);
            if (status) return status;
            for (int64_t k = 0; k < n; k++) count[ids[k]]++;
        }
    }
    return 0;
}

static int bias_frequencies(model *m, const dataset *d, pcv_error *err) {
    tensor *bias = m->type->head(m).b;
    int64_t vocab = m->config.vocab_size, *count = NULL;
    float *values = NULL;
    double total = 0;
    int status = 0;
    if (!bias || d->generated) return 0;
    TRY(mem_get(&count, (size_t)vocab * sizeof *count, "counts", err));
    TRY(mem_get(&values, (size_t)vocab * sizeof *values, "a bias", err));
    TRY(count_targets(d, count, err));
    for (int64_t i = 0; i < vocab; i++) total += (double)count[i] + 0.5;
    for (int64_t i = 0; i < vocab; i++) values[i] = (float)log(((double)count[i] + 0.5) / total);
    matrix to = parameters_values(&m->params, bias);
    backend_write_floats(m->be, &to, values);
out:
    mem_free(count);
    mem_free(values);
    return status;
}

int begin_with_data(model *m, const dataset *d, uint64_t seed, pcv_error *err) {
    int status = embed_vectors(m, &d->tokens, seed, err);
    if (!status) status = bias_frequencies(m, d, err);
    parameters_round(&m->params);
    return status;
}
