/* Motions between two frames of any size, by a model that knows squares: tiles that overlap, each counting most in its
 * middle. */
#include "base/mem.h"
#include "data/example.h"
#include "eval/outputs.h"
#include "eval/predict.h"
#include "media/flow_file.h"
#include "token/flow.h"

#include <math.h>

enum { OVERLAP = 20, AXES = 2 }; /* pixels of neighbouring tiles, at least; as published */

typedef struct tiling {
    int64_t size, overlap;
    int64_t across, down;
} tiling;

/* Tiles that cover a side. */
static int64_t tiles_of(const tiling *g, int64_t side) {
    int64_t step = g->size - g->overlap;
    return side <= g->size ? 1 : 1 + (side - g->size + step - 1) / step;
}

static tiling tiling_of(const tokenizer *t, const flow *f) {
    tiling g = {.size = t->config.size};
    g.overlap = OVERLAP < g.size / 2 ? OVERLAP : g.size / 2;
    g.across = tiles_of(&g, f->width);
    g.down = tiles_of(&g, f->height);
    return g;
}

/* Where tile number i of a side begins: the last one ends with it. */
static int64_t tile_begin(const tiling *g, int64_t i, int64_t side) {
    int64_t at = i * (g->size - g->overlap), last = side - g->size;
    return at < last ? at : last;
}

/* What the tokens of a tile of both frames stand for. */
static int take_tile(const tokenizer *t, const picture frame[2], int64_t x0, int64_t y0, id_list *ids, float *values,
                     pcv_error *err) {
    int status = 0;
    ids->count = 0;
    for (int f = 0; f < 2 && !status; f++) status = flow_square(t, &frame[f], (int)x0, (int)y0, ids, err);
    if (!status) t->type->values(t, ids->v, ids->count, values);
    return status;
}

/* Adds a tile's motions, and what they count to `weight`. */
static void add_tile(flow *f, float *weight, const tiling *g, int64_t x0, int64_t y0, const float *motion,
                     double scale) {
    for (int64_t y = 0; y < g->size; y++)
        for (int64_t x = 0; x < g->size; x++, motion += AXES) {
            int64_t at = (y0 + y) * f->width + x0 + x;
            double across = fmin((double)(x + 1), (double)(g->size - x));
            double down = fmin((double)(y + 1), (double)(g->size - y)), counts = fmin(across, down);
            for (int k = 0; k < AXES; k++) f->uv[at * AXES + k] += (float)(counts * scale * (double)motion[k]);
            weight[at] += (float)counts;
        }
}

/* One tile through the model: motion [size size, AXES]. */
static int run_tile(pcv_engine *e, const eval_config *c, example_rows *rows, float *values, int64_t count,
                    float *motion, pcv_error *err) {
    tape t = {0};
    int status = tape_init(&t, e->be, 0, err);
    rows->count = 0;
    if (!status) status = example_rows_add(rows, &e->tokens, values, count, err);
    told_outputs told = {.values = {motion}, .numbers = {AXES}};
    if (!status) status = outputs_tell(e->m, &t, rows->row, c->latents, rows->outputs, outputs_keep, &told, err);
    for (int64_t i = 0; i < rows->outputs * AXES && !status; i++)
        if (!isfinite(motion[i])) status = engine_not_finite(e, err);
    tape_free(&t);
    return status;
}

static int check_frames(const tokenizer *t, const pcv_predict_options *o, picture frame[2], pcv_error *err) {
    int status = flow_frames(t, o->path, o->second, frame, err);
    if (status || (frame[0].width >= t->config.size && frame[0].height >= t->config.size)) return status;
    return fail(err, PCV_DATA, "%s: %d x %d pixels, but the model knows squares of %lld", o->path, frame[0].width,
                frame[0].height, (long long)t->config.size);
}

int predict_flow(pcv_engine *e, const pcv_predict_options *o, const eval_config *c, pcv_prediction *p, pcv_error *err) {
    const int64_t size = e->tokens.config.size, count = 2 * 3 * size * size;
    picture frame[2] = {{0}, {0}};
    example_rows rows = {0};
    id_list ids = {0};
    flow f = {0};
    float *values = NULL, *motion = NULL, *weight = NULL;
    int status = 0;
    if (!o->second)
        return fail(err, PCV_USAGE, "%s: this run tells how pixels move from one frame to the next, so it needs two: "
                    "'perceiver predict RUN FRAME1 FRAME2 -o FLOW.flo|.png'", e->run);
    if (o->latents) return fail(err, PCV_USAGE, "--output latents: not of motions, which are made of tiles");
    TRY(check_frames(&e->tokens, o, frame, err));
    TRY(example_rows_open(&rows, e->m, 1, c->context, false, err));
    TRY(flow_open(&f, frame[0].width, frame[0].height, err));
    TRY(mem_get(&weight, (size_t)f.width * (size_t)f.height * sizeof *weight, "motions", err));
    TRY(mem_get(&values, (size_t)count * sizeof *values, "a tile", err));
    TRY(mem_get(&motion, (size_t)(size * size * AXES) * sizeof *motion, "a tile", err));
    const tiling g = tiling_of(&e->tokens, &f);
    for (int64_t i = 0; i < g.across * g.down; i++) {
        int64_t x = tile_begin(&g, i % g.across, f.width), y = tile_begin(&g, i / g.across, f.height);
        TRY(take_tile(&e->tokens, frame, x, y, &ids, values, err));
        TRY(run_tile(e, c, &rows, values, count, motion, err));
        add_tile(&f, weight, &g, x, y, motion, e->m->config.output_scale);
    }
    for (int64_t i = 0; i < (int64_t)f.width * f.height * AXES; i++) f.uv[i] /= weight[i / AXES];
    *p = (pcv_prediction){.path = o->path, .width = f.width, .height = f.height, .motion = f.uv};
    f.uv = NULL;
out:
    picture_free(&frame[0]);
    picture_free(&frame[1]);
    example_rows_close(&rows);
    id_list_free(&ids);
    flow_free(&f);
    mem_free(values);
    mem_free(motion);
    mem_free(weight);
    return status;
}

static int format_of(const char *path, int *which, pcv_error *err) {
    static const char *const formats[] = {".flo", ".png", NULL};
    return path_format(path, formats, which, err);
}

int motion_check(const char *path, pcv_error *err) {
    int which;
    return format_of(path, &which, err);
}

int motion_write(const pcv_prediction *p, const char *path, pcv_error *err) {
    const flow f = {.width = (int)p->width, .height = (int)p->height, .uv = p->motion};
    picture drawn = {0};
    int which, status = format_of(path, &which, err);
    if (status) return status;
    if (which == 0) return flow_write(&f, path, err);
    status = flow_picture(&f, &drawn, err);
    if (!status) status = picture_write(&drawn, path, err);
    picture_free(&drawn);
    return status;
}
