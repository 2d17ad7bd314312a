/* A convolution in front of pictures, as published for ImageNet (the official code's Conv2DDownsample): 7 x 7 pixels by
 * a stride of 2, without bias; a batch norm; relu; and the maximum of 3 x 3 by a stride of 2. Padding is SAME: what is
 * missing is halved, the smaller half in front. The windows are cut out on the host (data/patches.h), so the
 * convolution is a product.
 *
 *     y = relu(norm(windows w^T))      [B 2h 2w, channels]
 *     x = max of 3 x 3 of these        [B h w, channels] */
#include "model/perceiver_io.h"

static const float EPSILON = 1e-5f;
static const float KEPT = 0.9f; /* of the averages, at each step */

void stem_declare(stem_weights *w, model *m) {
    const model_config *c = &m->config;
    const param_init state = {.kind = INIT_ZERO, .vector = true, .state = true};
    param_init one = {.kind = INIT_ONE, .vector = true}, variance = state;
    variance.kind = INIT_ONE;
    w->convolution = declare_map(m, "input.convolution", c->convolution, c->input_features / STEM_PARTS, false, false);
    w->w = parameters_add(&m->params, "input.norm.weight", 1, c->convolution, one);
    w->b = parameters_add(&m->params, "input.norm.bias", 1, c->convolution,
                          (param_init){.kind = INIT_ZERO, .vector = true});
    w->mean = parameters_add(&m->params, "input.norm.mean", 1, c->convolution, state);
    w->variance = parameters_add(&m->params, "input.norm.variance", 1, c->convolution, variance);
}

void stem_places(const model *m, int64_t pictures, int32_t *index) {
    const int64_t rows = m->config.positions.axes.v[0], columns = m->config.positions.axes.v[1];
    for (int64_t i = 0; i < pictures * rows * columns; i++) {
        int64_t picture = i / (rows * columns), row = i / columns % rows, column = i % columns;
        for (int64_t n = 0; n < STEM_POOL; n++) {
            int64_t y = 2 * row + n / 3, x = 2 * column + n % 3;
            bool inside = y < 2 * rows && x < 2 * columns;
            *index++ = (int32_t)(inside ? (picture * 2 * rows + y) * 2 * columns + x : -1);
        }
    }
}

/* An average that goes on with what a step measured. */
static void keep_average(tape *t, const model *m, tensor *average, const tensor *measured) {
    matrix values = parameters_values(&m->params, average);
    tape_kernel(t, average, .average = values, .w = measured->m, .decay = KEPT);
    if (average->m.type != values.type) tape_kernel(t, copy, .y = average->m, .x = values);
}

tensor *stem_run(tape *t, const model *m, const stem_weights *w, tensor *windows, tensor *maxima) {
    column_norm_spec s = {.w = w->w, .b = w->b, .epsilon = EPSILON, .measure = t->training};
    tensor *y = linear_apply(t, windows, &w->convolution);
    s.mean = tape_exact(t, 1, m->config.convolution);
    s.variance = tape_exact(t, 1, m->config.convolution);
    if (t->status) return &t->nothing;
    s.mean->keep = s.variance->keep = true; /* the walk back reads them */
    if (!s.measure) {
        tape_kernel(t, copy, .y = s.mean->m, .x = w->mean->m);
        tape_kernel(t, copy, .y = s.variance->m, .x = w->variance->m);
    }
    y = column_norm(t, y, &s);
    if (s.measure) {
        keep_average(t, m, w->mean, s.mean);
        keep_average(t, m, w->variance, s.variance);
    }
    return max_rows(t, activate(t, y, RELU), maxima, STEM_POOL);
}
