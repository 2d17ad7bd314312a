#include "train/step.h"
#include "backends/registry.h"
#include "base/available.h"

#include <string.h>

int step_backend(backend **be, const train_config *c, pcv_error *err) {
    static const dtype precisions[] = {[PRECISION_F32] = F32, [PRECISION_BF16] = BF16};
    return backend_open(be, c->device, &(backend_options){.threads = threads_available(c->threads),
                                                          .precision = precisions[c->precision]}, err);
}

int step_open(step_buffer *b, const model *m, int64_t rows, pcv_error *err) {
    const model_config *c = &m->config;
    *b = (step_buffer){.m = m, .context = c->context, .stride = c->context + 1};
    b->positions = c->latents / c->latents_per_position;
    size_t targets = (size_t)(rows * b->positions);
    int status = 0;
    TRY(mem_get(&b->ids, (size_t)(rows * b->stride) * sizeof *b->ids, "a batch", err));
    TRY(mem_get(&b->row, targets * sizeof *b->row, "a batch", err)); /* the shortest: one target each */
    TRY(mem_get(&b->targets, targets * sizeof *b->targets, "a batch", err));
    TRY(mem_get(&b->weight, targets * sizeof *b->weight, "a batch", err));
    TRY(mem_get(&b->loss, LOSS_COLUMNS * targets * sizeof *b->loss, "a batch", err));
    TRY(model_memory_open(&b->memory, m, rows, err));
out:
    if (status) step_close(b);
    return status;
}

void step_close(step_buffer *b) {
    mem_free(b->ids);
    mem_free(b->row);
    mem_free(b->targets);
    mem_free(b->weight);
    mem_free(b->loss);
    model_memory_close(b->memory, b->m);
    *b = (step_buffer){0};
}

int step_read(step_buffer *b, const dataset *d, split_name split, const window *w, int64_t rows,
              pcv_error *err) {
    b->stride = 0;
    for (int64_t r = 0; r < rows; r++)
        if (w[r].count > b->stride) b->stride = w[r].count;
    for (int64_t r = 0; r < rows; r++) {
        int32_t *ids = b->ids + r * b->stride;
        int status = window_read(d, split, &w[r], ids, err);
        if (status) return status;
        if (b->memory && w[r].from == 0) model_memory_forget(b->memory, r);
    }
    return 0;
}

int64_t step_targets(const model_config *m, const window *w) {
    int64_t positions = m->latents / m->latents_per_position;
    return w->scored < positions ? w->scored : positions;
}

/* Latents are the last positions of a row; each predicts the token behind it, if that one counts. */
static void fill_targets(step_buffer *b, const window *w, int64_t rows, int64_t positions, double scale) {
    for (int64_t r = 0; r < rows; r++) {
        int64_t inputs = w[r].count - 1;
        for (int64_t u = 0; u < positions; u++) {
            int64_t at = inputs - positions + u, i = r * positions + u;
            bool counts = at >= 0 && at >= inputs - w[r].scored;
            b->targets[i] = counts ? b->ids[r * b->stride + at + 1] : -1;
            b->weight[i] = (float)scale;
        }
    }
}

int step_run(step_buffer *b, tape *t, model *m, const train_config *c, const window *w, int64_t rows,
             uint32_t draw, double scale, step_result *result, pcv_error *err) {
    int64_t longest = 0, group = m->config.latents_per_position;
    for (int64_t r = 0; r < rows; r++) {
        b->row[r] = window_row(m, &w[r], b->ids + r * b->stride);
        if (b->row[r].length > longest) longest = b->row[r].length;
    }
    int64_t positions = b->positions < longest ? b->positions : longest;
    fill_targets(b, w, rows, positions, scale);
    tape_reset(t);
    t->recording = t->training = true;
    t->draws = draw << 16; /* dropout of different batches draws from different streams */
    model_input in = {.batch = rows, .rows = b->row, .latents = positions * group, .draw = draw,
                      .memory = b->memory};
    tensor *hidden = model_hidden(t, m, &in);
    model_targets targets = {.ids = b->targets, .weight = b->weight};
    targets.smoothing = (float)c->label_smoothing;
    targets.z_loss = (float)c->z_loss;
    tensor *loss = model_loss(t, m, hidden, &targets);
    tape_read(t, loss, b->loss);
    tape_backward(t, loss);
    t->recording = t->training = false;
    for (int64_t i = 0; i < rows * positions; i++) {
        if (b->targets[i] < 0) continue;
        const float *row = b->loss + i * LOSS_COLUMNS;
        result->value += (double)row[LOSS_VALUE];
        result->loss += (double)row[LOSS_NATS];
        result->hits += row[LOSS_HIT] > 0;
    }
    if (!t->status) return 0;
    return fail(err, PCV_MEMORY, "not enough memory for a training step; lower --batch, --context, "
                "--latents or --channels, or raise --recompute");
}
