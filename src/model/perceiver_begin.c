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
#include <string.h>

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

static int place_latents(model *m, int64_t features, pcv_error *err) {
    const model_config *c = &m->config;
    const field_ints *axes = &c->positions.axes;
    const field_ints *resolution = c->positions.resolution.count ? &c->positions.resolution : axes;
    parameter_slice latents = parameters_slice(&m->params, parameters_find(&m->params, "latents.weight"));
    matrix all = parameters_values(&m->params, &latents.owner->t);
    float *row = NULL;
    int status = mem_get(&row, (size_t)features * sizeof *row, "latents", err);
    for (int64_t j = 0; j < c->latents && !status; j++) {
        double p[FIELD_LIST];
        matrix to = matrix_columns(matrix_rows(all, j, 1), 0, features);
        spread(j, c->latents, axes->count, p);
        fourier_features(p, axes->count, resolution->v, c->positions.bands, row);
        backend_write_floats(m->be, &to, row);
    }
    mem_free(row);
    return status;
}

/* Row r of the map's first `features` takes channel from + r of what it reads, times gain, and nothing else. */
static int look(model *m, const char *name, int64_t from, int64_t features, double gain, pcv_error *err) {
    parameter_slice map = parameters_slice(&m->params, parameters_find(&m->params, name));
    float *values = NULL;
    int status = mem_get(&values, (size_t)(features * map.cols) * sizeof *values, "a map", err);
    if (status) return status;
    for (int64_t r = 0; r < features; r++) values[r * map.cols + from + r] = (float)gain;
    matrix to = {.data = matrix_columns(m->params.values, (int64_t)map.offset, 0).data, .rows = features,
                 .cols = map.cols, .stride = map.cols, .type = m->params.values.type};
    backend_write_floats(m->be, &to, values);
    mem_free(values);
    return status;
}

int perceiver_begin(model *m, pcv_error *err) {
    const model_config *c = &m->config;
    const attention_widths w = perceiver_widths(c);
    const int64_t P = model_fourier_width(c, &c->positions.axes), C = model_input_width(c), E = model_query_width(c);
    const int64_t content = C - P;
    if (!c->encoder.places) return 0;
    /* rows of norms have a variance of 1: what is taken from them is larger than it was */
    double held = (double)c->positions.bands * (double)c->positions.axes.count; /* |gamma|^2, about */
    double x = sqrt(((double)content + held) / (double)C), z = sqrt(held / (double)c->channels);
    double gain = sqrt(PEAK * sqrt((double)(w.cross_qk / c->cross_heads)) * x * z / held);
    int status = place_latents(m, P, err);
    if (!status) status = look(m, "cross.attention.query.weight", 0, P, gain, err);
    if (!status) status = look(m, "cross.attention.key.weight", content, P, gain, err);
    if (status || !perceiver_decodes(c) || c->decoder.query == ASK_LEARNED) return status;
    gain = sqrt(PEAK * sqrt((double)(c->decoder.qk_channels / c->decoder.heads)) * z / held);
    status = look(m, "decoder.cross.attention.query.weight", E - P, P, gain, err);
    if (!status) status = look(m, "decoder.cross.attention.key.weight", 0, P, gain, err);
    return status;
}
