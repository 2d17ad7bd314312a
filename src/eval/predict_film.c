/* A film, told again by a model that has read it, and what it says of the class. */
#include "base/file.h"
#include "base/mem.h"
#include "eval/outputs.h"
#include "eval/predict.h"
#include "media/picture.h"
#include "media/sound_file.h"

#include <math.h>
#include <stdio.h>

enum { COLOURS = 3 };

int predict_film(pcv_engine *e, const eval_config *c, const example_rows *rows, pcv_prediction *p, pcv_error *err) {
    const model_config *m = &e->m->config;
    const tokenizer *k = &e->tokens;
    told_outputs told = {.values = {NULL}};
    tape t = {0};
    int status = 0;
    TRY(tape_init(&t, e->be, 0, err));
    for (int i = 0; i < MODALITIES; i++) {
        told.numbers[i] = m->modality[i].outputs;
        size_t count = (size_t)(modality_outputs(&m->modality[i]) * told.numbers[i]);
        if (count) TRY(mem_get(&told.values[i], count * sizeof(float), "a film", err));
    }
    TRY(outputs_tell(e->m, &t, rows->row, c->latents, 0, outputs_keep, &told, err));
    p->frames = k->frames;
    p->width = k->shape[1];
    p->height = k->shape[0];
    p->samples = k->samples;
    p->rate = k->second;
    p->film = told.values[MODALITY_IMAGE];
    p->sound = told.values[MODALITY_AUDIO];
    told.values[MODALITY_IMAGE] = told.values[MODALITY_AUDIO] = NULL;
    for (int64_t i = 0; i < p->frames * p->height * p->width * COLOURS && !status; i++)
        if (!isfinite(p->film[i])) status = engine_not_finite(e, err);
    if (!status && told.values[MODALITY_LABEL]) status = predict_classes(e, told.values[MODALITY_LABEL], p, err);
out:
    for (int i = 0; i < MODALITIES; i++) mem_free(told.values[i]);
    tape_free(&t);
    return status;
}

/* ------------------------------------------------------------------ files */

static int write_frame(const pcv_prediction *p, int64_t number, const char *folder, pcv_error *err) {
    const int64_t values = p->width * p->height * COLOURS;
    const float *from = p->film + number * values;
    char name[32], path[PATH_SIZE];
    picture frame = {0};
    int status = 0;
    snprintf(name, sizeof name, "frame-%04lld.png", (long long)number + 1);
    TRY(path_join(path, folder, name, err));
    TRY(picture_open(&frame, (int)p->width, (int)p->height, err));
    for (int64_t i = 0; i < values; i++) frame.rgb[i] = (uint8_t)(fmin(fmax((double)from[i], 0), 1) * 255 + 0.5);
    TRY(picture_write(&frame, path, err));
out:
    picture_free(&frame);
    return status;
}

int film_write(const pcv_prediction *p, const char *folder, pcv_error *err) {
    char path[PATH_SIZE];
    int status = folder_make(folder, err);
    for (int64_t i = 0; i < p->frames && !status; i++) status = write_frame(p, i, folder, err);
    if (status || !p->samples) return status;
    status = path_join(path, folder, "sound.wav", err);
    return status ? status : sound_write(path, p->sound, (size_t)p->samples, (int64_t)(p->rate + 0.5), err);
}
