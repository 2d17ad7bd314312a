/* Latents that begin at places (encoder.places): spread over the places of the inputs, each looks at what lies around
 * its own first, and a query at the latents around its place. Without it both have to be found by chance before
 * anything else can be learned, which takes longer than all the rest. With gamma the fourier features of a place,
 *
 *     latent_j = [gamma(p_j), small]     q = g gamma(p_j),  k = g gamma(p_i),     q k = g^2 sum cos(pi f (p_j - p_i)),
 *
 * which has its peak where the places meet. Everything is trained from there on. */
#include "base/mem.h"
#include "model/perceiver_io.h"
#include "nn/positions.h"

#include <math.h>

static const double PEAK = 8; /* score where places meet */

/* Places spread over [-1, 1]^d: steps by powers of the root of x^(d + 1) = x + 1, which leave no holes. */
static void spread(int64_t j, int64_t count, int64_t axes, double *p) {
    double root = 2;
    for (int i = 0; i < 64; i++) root = pow(1 + root, 1 / (double)(axes + 1));
    for (int64_t a = 0; a < axes; a++) {
        double at = 0.5 + (double)j * pow(root, -(double)(a + 1));
        p[a] = axes == 1 ? count > 1 ? -1 + 2 * (double)j / (double)(count - 1) : 0 : -1 + 2 * (at - floor(at));
    }
}

/* The features of a place that are used, by their numbers among all (fourier_features): of as many of the low
 * frequencies as there is room for. */
typedef struct chosen {
    int64_t count, feature[];
} chosen;

static int choose(const model_config *c, int64_t room, chosen **out, pcv_error *err) {
    const int64_t axes = c->positions.axes.count, all = c->positions.bands;
    int64_t bands = (room / axes - 1) / 2, n = 0;
    if (bands > all) bands = all;
    int status = mem_get(out, sizeof **out + (size_t)(axes * (2 * bands + 1)) * sizeof(int64_t), "places", err);
    if (status) return status;
    for (int64_t a = 0; a < axes; a++) (*out)->feature[n++] = a;
    for (int64_t i = 0; i < 2 * axes * bands; i++) /* sines of each axis, then cosines */
        (*out)->feature[n++] = axes + i / bands * all + i % bands;
    (*out)->count = n;
    return 0;
}

static int place_latents(model *m, const chosen *used, pcv_error *err) {
    const model_config *c = &m->config;
    const field_ints *axes = &c->positions.axes;
    const field_ints *resolution = c->positions.resolution.count ? &c->positions.resolution : axes;
    const int64_t width = model_fourier_width(c, axes);
    parameter_slice latents = parameters_slice(&m->params, parameters_find(&m->params, "latents.weight"));
    matrix all = parameters_values(&m->params, &latents.owner->t);
    float *features = NULL, *row = NULL;
    int status = 0;
    TRY(mem_get(&features, (size_t)width * sizeof *features, "latents", err));
    TRY(mem_get(&row, (size_t)used->count * sizeof *row, "latents", err));
    for (int64_t j = 0; j < c->latents; j++) {
        double p[FIELD_LIST];
        matrix to = matrix_columns(matrix_rows(all, j, 1), 0, used->count);
        spread(j, c->latents, axes->count, p);
        fourier_features(p, axes->count, resolution->v, c->positions.bands, features);
        for (int64_t r = 0; r < used->count; r++) row[r] = features[used->feature[r]];
        backend_write_floats(m->be, &to, row);
    }
out:
    mem_free(features);
    mem_free(row);
    return status;
}

/* The map's first rows take one feature each of what it reads, times gain, and nothing else. from: of the first of all
 * features; of latents, which have only those that are used, -1. */
static int look(model *m, const char *name, int64_t from, const chosen *used, double gain, pcv_error *err) {
    parameter_slice map = parameters_slice(&m->params, parameters_find(&m->params, name));
    float *values = NULL;
    int status = mem_get(&values, (size_t)(used->count * map.cols) * sizeof *values, "a map", err);
    if (status) return status;
    for (int64_t r = 0; r < used->count; r++)
        values[r * map.cols + (from < 0 ? r : from + used->feature[r])] = (float)gain;
    matrix to = {.data = matrix_columns(m->params.values, (int64_t)map.offset, 0).data, .rows = used->count,
                 .cols = map.cols, .stride = map.cols, .type = m->params.values.type};
    backend_write_floats(m->be, &to, values);
    mem_free(values);
    return status;
}

int64_t perceiver_place_room(const model_config *c) {
    int64_t room = perceiver_widths(c).cross_qk / c->cross_heads;
    if (room > c->channels) room = c->channels;
    if (perceiver_decodes(c) && room > c->decoder.qk_channels / c->decoder.heads)
        room = c->decoder.qk_channels / c->decoder.heads;
    return room;
}

int perceiver_begin(model *m, pcv_error *err) {
    const model_config *c = &m->config;
    const attention_widths w = perceiver_widths(c);
    const int64_t P = model_fourier_width(c, &c->positions.axes), C = model_input_width(c), E = model_query_width(c);
    chosen *used = NULL;
    int status = 0;
    if (!c->encoder.places) return 0;
    TRY(choose(c, perceiver_place_room(c), &used, err));
    /* |gamma|^2, of all features and of those that are used; what norms take in has a variance of 1 behind them */
    double all = (double)P / 2, held = (double)used->count / 2;
    double x = sqrt(((double)(C - P) + all) / (double)C), z = sqrt(held / (double)c->channels);
    double gain = sqrt(PEAK * sqrt((double)(w.cross_qk / c->cross_heads)) * x * z / held);
    TRY(place_latents(m, used, err));
    TRY(look(m, "cross.attention.query.weight", -1, used, gain, err));
    TRY(look(m, "cross.attention.key.weight", C - P, used, gain, err));
    if (perceiver_decodes(c) && c->decoder.query != ASK_LEARNED) {
        gain = sqrt(PEAK * sqrt((double)(c->decoder.qk_channels / c->decoder.heads)) * z / held);
        TRY(look(m, "decoder.cross.attention.query.weight", E - P, used, gain, err));
        TRY(look(m, "decoder.cross.attention.key.weight", -1, used, gain, err));
    }
    parameters_round(&m->params);
out:
    mem_free(used);
    return status;
}
