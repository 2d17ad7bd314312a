#include "eval/showing.h"
#include "base/mem.h"
#include "eval/outputs.h"
#include "media/flow_file.h"

#include <math.h>
#include <string.h>

enum { SHOWN = 3, LARGE = 96, GAP = 4, COLOURS = 3, AXES = 2 }; /* examples; pixels of a frame's side, and between */

bool shows_picture(const dataset *d) { return d->tokens.frames > 0; }

bool shows_text(const dataset *d, const model_config *c) { return d->tokens.type->piece && !d->classes && !c->outputs; }

/* ------------------------------------------------------------------ pictures */

/* Numbers from `low` to `high` as a picture of a frame, as large as others. */
static int draw(picture *p, const float *values, int64_t size, double low, double high, pcv_error *err) {
    int status = picture_open(p, (int)size, (int)size, err);
    if (status) return status;
    for (int64_t i = 0; i < size * size * COLOURS; i++) {
        double x = 255 * ((double)values[i] - low) / (high - low);
        p->rgb[i] = (uint8_t)(x > 0 ? x < 255 ? x + 0.5 : 255 : 0); /* not a number: black */
    }
    return 0;
}

static int put(picture *sheet, picture *p, int column, int row, pcv_error *err) {
    int times = LARGE / p->width > 1 ? LARGE / p->width : 1, side = times * p->width + GAP;
    int status = picture_enlarge(p, times, err);
    if (!status) picture_place(sheet, p, GAP + column * side, GAP + row * side);
    picture_free(p);
    return status;
}

static int open_sheet(picture *sheet, int64_t size, int columns, int rows, pcv_error *err) {
    int times = LARGE / size > 1 ? LARGE / (int)size : 1, side = times * (int)size + GAP;
    int status = picture_open(sheet, GAP + columns * side, GAP + rows * side, err);
    if (!status) memset(sheet->rgb, 255, (size_t)sheet->width * (size_t)sheet->height * 3);
    return status;
}

static int put_motion(picture *sheet, float *uv, int64_t size, int column, int row, pcv_error *err) {
    const flow f = {.width = (int)size, .height = (int)size, .uv = uv};
    picture p = {0};
    int status = flow_picture(&f, &p, err);
    return status ? status : put(sheet, &p, column, row, err);
}

static int show_motion(model *m, tape *t, const tokenizer *k, const example_rows *rows, int number, picture *sheet,
                       pcv_error *err) {
    const int64_t size = k->shape[0], pixels = size * size;
    const sequence *row = &rows->row[0];
    float *told = NULL, *wanted = NULL;
    int status = 0;
    if (number == 0) TRY(open_sheet(sheet, size, 4, SHOWN, err));
    TRY(mem_get(&told, (size_t)(pixels * AXES) * sizeof *told, "motions", err));
    TRY(mem_get(&wanted, (size_t)(pixels * AXES) * sizeof *wanted, "motions", err));
    told_outputs all = {.values = {told}, .numbers = {AXES}};
    TRY(outputs_tell(m, t, row, m->config.latents, pixels, outputs_keep, &all, err));
    for (int64_t i = 0; i < pixels * AXES; i++) {
        told[i] *= (float)m->config.output_scale;
        wanted[i] = row->wanted[i / AXES] < 0 ? NAN : row->numbers[i];
    }
    for (int frame = 0; frame < 2; frame++) {
        picture p = {0};
        TRY(draw(&p, rows->values + frame * pixels * COLOURS, size, -1, 1, err));
        TRY(put(sheet, &p, frame, number, err));
    }
    TRY(put_motion(sheet, wanted, size, 2, number, err));
    TRY(put_motion(sheet, told, size, 3, number, err));
out:
    mem_free(told);
    mem_free(wanted);
    return status;
}

static int show_film(model *m, tape *t, const tokenizer *k, const example_rows *rows, int number, picture *sheet,
                     pcv_error *err) {
    enum { MOST_FRAMES = 8 };
    const int64_t size = k->shape[0], frame = size * size * COLOURS;
    const int frames = (int)(k->frames < MOST_FRAMES ? k->frames : MOST_FRAMES);
    float *told = NULL;
    int status = 0;
    if (number == 0) TRY(open_sheet(sheet, size, frames, 2 * SHOWN, err));
    TRY(mem_get(&told, (size_t)(k->frames * frame) * sizeof *told, "a film", err));
    told_outputs all = {.values = {[MODALITY_IMAGE] = told}, .numbers = {[MODALITY_IMAGE] = COLOURS}};
    TRY(outputs_tell(m, t, &rows->row[0], m->config.latents, 0, outputs_keep, &all, err));
    for (int i = 0; i < 2 * frames; i++) {
        const float *from = i < frames ? rows->row[0].part[MODALITY_IMAGE].numbers : told;
        int64_t shown = i % frames * k->frames / frames; /* spread over the film */
        picture p = {0};
        TRY(draw(&p, from + shown * frame, size, 0, 1, err));
        TRY(put(sheet, &p, i % frames, 2 * number + i / frames, err));
    }
out:
    mem_free(told);
    return status;
}

int show_picture(model *m, tape *t, const dataset *d, split_name split, picture *sheet, pcv_error *err) {
    const int64_t all = dataset_documents(d, split);
    example_rows rows = {0};
    int status = example_rows_open(&rows, m, 1, m->config.context, false, err);
    for (int i = 0; i < SHOWN && i < all && !status; i++) {
        window w = example_at(d, split, &m->config, i);
        rows.count = 0;
        status = example_rows_read(&rows, d, split, &w, NULL, err);
        if (!status) status = (d->tokens.answers ? show_motion : show_film)(m, t, &d->tokens, &rows, i, sheet, err);
    }
    example_rows_close(&rows);
    return status;
}

/* ------------------------------------------------------------------ text */

typedef struct guesses {
    int32_t *best;
    int64_t vocabulary;
    int32_t first; /* ids of content */
} guesses;

static void guess(void *context, int kind, int64_t first, int64_t count, const float *values) {
    guesses *g = context;
    (void)kind;
    for (int64_t i = 0; i < count; i++) {
        const float *row = values + i * g->vocabulary;
        int32_t best = g->first;
        for (int32_t v = best; v < g->vocabulary; v++)
            if (row[v] > row[best]) best = v;
        g->best[first + i] = best;
    }
}

static void add_pieces(text *out, const tokenizer *t, const int32_t *ids, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        size_t size;
        const char *piece = t->type->piece(t, ids[i], &size);
        text_bytes(out, piece, size);
    }
}

int show_text(model *m, tape *t, const dataset *d, split_name split, text *out, pcv_error *err) {
    const tokenizer *k = &d->tokens;
    example_rows rows = {0};
    guesses g = {.vocabulary = m->config.vocab_size, .first = k->first};
    int status = 0;
    if (!example_windows(d, split, &m->config)) return 0;
    window w = example_at(d, split, &m->config, 0);
    TRY(example_rows_open(&rows, m, 1, m->config.context, false, err));
    TRY(example_rows_read(&rows, d, split, &w, NULL, err));
    const sequence *row = &rows.row[0];
    TRY(mem_get(&g.best, (size_t)rows.outputs * sizeof *g.best, "answers", err));
    TRY(outputs_tell(m, t, row, m->config.latents, row->length, guess, &g, err));
    for (int64_t i = 0, end; i < row->length; i = end) {
        bool hidden = row->wanted[i] >= 0;
        for (end = i; end < row->length && (row->wanted[end] >= 0) == hidden; end++) continue;
        if (!hidden) {
            add_pieces(out, k, row->ids + i, end - i);
            continue;
        }
        text_add(out, "[");
        add_pieces(out, k, g.best + i, end - i);
        if (memcmp(g.best + i, row->wanted + i, (size_t)(end - i) * sizeof *g.best)) {
            text_add(out, "|");
            add_pieces(out, k, row->wanted + i, end - i);
        }
        text_add(out, "]");
    }
out:
    example_rows_close(&rows);
    mem_free(g.best);
    return status;
}
