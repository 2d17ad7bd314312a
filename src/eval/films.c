#include "eval/films.h"

#include <math.h>
#include <string.h>

/* What is found of one film while its outputs come. */
typedef struct measuring {
    const model_config *c;
    const sequence *row;
    film_sums *sums;
    float *logits;
    double off[MODALITIES]; /* sums of the loss over a kind's outputs */
} measuring;

static void take_numbers(measuring *a, int kind, const float *told, const float *wanted, int64_t count) {
    bool absolute = a->c->loss == LOSS_ABSOLUTE;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)told[i] - (double)wanted[i];
        a->off[kind] += absolute ? fabs(d) : d * d;
        a->sums->squares[kind] += d * d;
    }
}

static void take(void *context, int kind, int64_t first, int64_t count, const float *values) {
    measuring *a = context;
    const modality_config *k = &a->c->modality[kind];
    const int64_t K = k->outputs;
    if (modality_is_class(k)) memcpy(a->logits, values, (size_t)K * sizeof *values);
    else take_numbers(a, kind, values, a->row->part[kind].numbers + first * K, count * K);
}

/* Nats of the right class; where nobody knows it, none. */
static double nats(const float *logits, int64_t classes, int32_t right) {
    double top = -INFINITY, sum = 0;
    if (right < 0) return 0;
    for (int64_t k = 0; k < classes; k++) top = fmax(top, (double)logits[k]);
    for (int64_t k = 0; k < classes; k++) sum += exp((double)logits[k] - top);
    return top + log(sum) - (double)logits[right];
}

/* What the film's own mean colour, or silence, would be off. */
static void hold_against(const modality_config *k, const modality_row *part, film_sums *sums, int kind) {
    const int64_t count = modality_outputs(k), K = k->outputs;
    for (int64_t c = 0; c < K; c++) {
        double mean = 0;
        for (int64_t i = 0; i < count; i++) mean += (double)part->numbers[i * K + c] / (double)count;
        for (int64_t i = 0; i < count; i++) {
            double x = (double)part->numbers[i * K + c];
            sums->from_mean[kind] += (x - mean) * (x - mean);
            sums->from_zero[kind] += x * x;
        }
    }
    sums->numbers[kind] += (double)(count * K);
}

int film_measure(model *m, tape *t, const sequence *row, int64_t latents, film_sums *sums, double *loss, float *logits,
                 pcv_error *err) {
    measuring a = {.c = &m->config, .row = row, .sums = sums, .logits = logits};
    int status = outputs_tell(m, t, row, latents, 0, take, &a, err);
    *loss = 0;
    for (int i = 0; i < MODALITIES && !status; i++) {
        const modality_config *k = &m->config.modality[i];
        double outputs = (double)modality_outputs(k);
        if (outputs == 0) continue;
        if (modality_is_class(k)) {
            *loss += k->weight * nats(logits, k->outputs, row->part[i].wanted[0]);
            continue;
        }
        hold_against(k, &row->part[i], sums, i);
        *loss += k->weight * a.off[i] / (outputs * (double)k->outputs);
    }
    return status;
}

double film_psnr(double squares, double numbers) { return squares > 0 ? 10 * log10(numbers / squares) : INFINITY; }
