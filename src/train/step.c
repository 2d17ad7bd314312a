#include "train/step.h"
#include "backends/registry.h"

int step_backend(backend **be, const train_config *c, pcv_error *err) {
    backend_options options = backend_options_for(c->precision, c->threads);
    return backend_open(be, c->device, &options, err);
}

/* Tokens in front of a segment that its index knows: those of the memory. Other rows are all that there is. */
static int64_t known_before(const model *m, int64_t from) {
    int64_t most = m->config.index.orders.count ? m->config.memory : 0;
    return from < most ? from : most;
}

int step_open(step_rows *b, const model *m, int64_t rows, pcv_error *err) {
    const model_config *c = &m->config;
    int64_t targets = rows * (c->latents / c->latents_per_position); /* the shortest windows have one each */
    int status = 0;
    *b = (step_rows){.m = m};
    if (m->type->answers) return example_rows_open(&b->examples, m, rows, m->config.context, true, err);
    TRY(window_rows_open(&b->rows, targets, rows * (known_before(m, INT64_MAX) + c->context + 1), err));
    TRY(model_memory_open(&b->memory, m, rows, err));
out:
    if (status) step_close(b);
    return status;
}

void step_close(step_rows *b) {
    window_rows_close(&b->rows);
    example_rows_close(&b->examples);
    model_memory_close(b->memory, b->m);
    *b = (step_rows){0};
}

static int read_examples(step_rows *b, const dataset *d, split_name split, const window *w, int64_t rows,
                         const train_config *c, pcv_error *err) {
    int status = 0;
    b->examples.count = 0;
    for (int64_t r = 0; r < rows && !status; r++) status = example_rows_read(&b->examples, d, split, &w[r], c, err);
    return status;
}

int step_read(step_rows *b, const dataset *d, split_name split, const window *w, int64_t rows, const train_config *c,
              pcv_error *err) {
    int status = 0;
    if (b->m->type->answers) return read_examples(b, d, split, w, rows, c, err);
    window_rows_clear(&b->rows);
    for (int64_t r = 0; r < rows && !status; r++) {
        window read = w[r];
        read.known = known_before(b->m, read.from);
        status = window_rows_read(&b->rows, b->m, d, split, &read, err);
        if (b->memory && w[r].from == 0) model_memory_forget(b->memory, r);
    }
    return status;
}

void step_take(step_rows *b, const window *w, int64_t rows) {
    window_rows_clear(&b->rows);
    for (int64_t r = 0; r < rows; r++) window_rows_add(&b->rows, b->m, &w[r]);
}

void step_take_full(step_rows *b, int64_t rows) {
    int64_t inputs = b->m->config.context;
    if (b->m->type->answers) {
        example_rows_fill(&b->examples, rows, 0);
        return;
    }
    window_rows_clear(&b->rows);
    for (int64_t r = 0; r < rows; r++)
        window_rows_add(&b->rows, b->m, &(window){.count = inputs + 1, .scored = inputs,
                                                  .known = known_before(b->m, INT64_MAX)});
}

void step_take_random(step_rows *b, int64_t rows, uint64_t seed) {
    const model_config *c = &b->m->config;
    rng random = rng_make(seed, RNG_TEST, 0);
    if (b->m->type->answers) {
        example_rows_fill(&b->examples, rows, seed);
        return;
    }
    for (int64_t i = 0; i < b->rows.room; i++)
        b->rows.ids[i] = (int32_t)rng_below(&random, (uint64_t)c->vocab_size);
    step_take_full(b, rows);
}

int step_targets(step_rows *b, const dataset *d, split_name split, const window *w, const train_config *c,
                 int64_t *targets, pcv_error *err) {
    const model_config *m = &b->m->config;
    if (b->m->type->answers) return example_targets(&b->examples, d, split, w, c, targets, err);
    *targets = window_targets(d, split, w, m->latents / m->latents_per_position);
    return 0;
}

int step_run(step_rows *b, tape *t, model *m, const train_config *c, uint32_t draw, double scale, loss_sum *sum,
             pcv_error *err) {
    tape_begin(t);
    t->recording = t->training = true;
    t->draws = draw << 16; /* dropout of different batches draws from different streams */
    pass p = m->type->answers ? example_rows_pass(&b->examples, m->config.latents)
                              : pass_over(m, b->rows.row, b->rows.count, m->config.latents);
    p.draw = draw;
    p.memory = b->memory;
    tensor *hidden = model_hidden(t, m, &p);
    tensor *loss = model_loss(t, m, hidden, &p, &(loss_spec){.scale = (float)scale, .z_loss = (float)c->z_loss,
                                                             .smoothing = (float)c->label_smoothing});
    const float *rows = loss_fetch(t, loss);
    tape_backward(t, loss);
    backend_finish(t->be); /* a device has all of the step before the host waits for any of it */
    if (!t->status) loss_add(rows, &p, sum);
    t->recording = t->training = false;
    return tape_end(t, "for a training step; lower --batch, --context, --latents or --channels, or raise --recompute",
                    err);
}
