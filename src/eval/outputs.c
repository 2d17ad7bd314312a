#include "eval/outputs.h"
#include "base/mem.h"

#include <string.h>

typedef struct teller {
    model *m;
    tape *t;
    const sequence *row;
    int64_t latents;
    const float *encoded; /* NULL: the pieces are one, and read the inputs themselves */
    int32_t *asked;       /* of a piece */
    float *values;        /* what a piece says */
    outputs_fn *take;
    void *context;
} teller;

static const char purpose[] = "to answer; lower --latents";

static int encode(const teller *a, float *encoded, pcv_error *err) {
    tape_begin(a->t);
    pass p = pass_over(a->m, a->row, 1, a->latents);
    p.only_latents = true;
    tensor *z = model_hidden(a->t, a->m, &p);
    if (!a->t->status) tape_read(a->t, z, encoded);
    return tape_end(a->t, purpose, err);
}

static int64_t numbers_of(const model *m, int kind) {
    return model_has_modalities(&m->config) ? m->config.modality[kind].outputs : model_outputs(&m->config);
}

/* What the pass says of one kind, to a->values. */
static void read_kind(const teller *a, const pass *p, tensor *hidden, int kind) {
    bool parts = model_has_modalities(&a->m->config);
    tensor *y = parts ? model_part_outputs(a->t, a->m, hidden, p, kind) : model_logits(a->t, a->m, hidden);
    if (!a->t->status) tape_read(a->t, y, a->values);
}

/* Outputs [first, first + count) of a kind. */
static int tell_piece(const teller *a, int kind, int64_t first, int64_t count, pcv_error *err) {
    modality_row part[MODALITIES];
    sequence row = *a->row;
    int64_t asked[MODALITIES] = {0};
    for (int64_t i = 0; i < count; i++) a->asked[i] = (int32_t)(first + i);
    for (int k = 0; k < MODALITIES && row.part; k++) {
        part[k] = row.part[k];
        part[k].wanted = NULL;
        part[k].numbers = NULL;
        part[k].asked = a->asked;
    }
    if (row.part) row.part = part;
    else row.asked = a->asked;
    row.wanted = NULL;
    asked[kind] = count;
    tape_begin(a->t);
    pass p = pass_over(a->m, &row, 1, a->latents);
    p.encoded = a->encoded;
    p.outputs = count;
    p.asked = asked;
    read_kind(a, &p, model_hidden(a->t, a->m, &p), kind);
    int status = tape_end(a->t, purpose, err);
    if (!status) a->take(a->context, kind, first, count, a->values);
    return status;
}

int outputs_tell(model *m, tape *t, const sequence *row, int64_t latents, int64_t outputs, outputs_fn *take,
                 void *context, pcv_error *err) {
    const bool parts = model_has_modalities(&m->config);
    teller a = {.m = m, .t = t, .row = row, .latents = latents, .take = take, .context = context};
    float *encoded = NULL;
    int64_t widest = 1, most = 1, pieces = 0, of[MODALITIES] = {parts ? 0 : outputs};
    int status = 0;
    for (int k = 0; k < MODALITIES; k++) {
        if (parts) of[k] = modality_outputs(&m->config.modality[k]);
        if (of[k] && numbers_of(m, k) > widest) widest = numbers_of(m, k);
        if (of[k] > most) most = of[k];
    }
    int64_t piece = NUMBERS_AT_ONCE / widest < OUTPUTS_AT_ONCE ? NUMBERS_AT_ONCE / widest + 1 : OUTPUTS_AT_ONCE;
    if (most > piece) most = piece;
    for (int k = 0; k < MODALITIES; k++) pieces += (of[k] + piece - 1) / piece;
    TRY(mem_get(&a.asked, (size_t)most * sizeof *a.asked, "answers", err));
    TRY(mem_get(&a.values, (size_t)(most * widest) * sizeof *a.values, "answers", err));
    if (pieces > 1) {
        TRY(mem_get(&encoded, (size_t)(latents * m->config.channels) * sizeof *encoded, "latents", err));
        TRY(encode(&a, encoded, err));
        a.encoded = encoded;
    }
    for (int k = 0; k < MODALITIES; k++)
        for (int64_t at = 0; at < of[k]; at += piece)
            TRY(tell_piece(&a, k, at, of[k] - at < piece ? of[k] - at : piece, err));
out:
    mem_free(a.asked);
    mem_free(a.values);
    mem_free(encoded);
    return status;
}

void outputs_keep(void *context, int kind, int64_t first, int64_t count, const float *values) {
    const told_outputs *t = context;
    const int64_t K = t->numbers[kind];
    if (t->values[kind]) memcpy(t->values[kind] + first * K, values, (size_t)(count * K) * sizeof *values);
}
