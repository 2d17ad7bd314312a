/* Pairs of frames in which everything moves: a ground and up to three discs in front of it, each with waves of its own
 * that move with it. A quarter has no disc: such pairs are learned first, and the others from there. Waves are
 * functions of the place, so motions need not be whole pixels and are known exactly. */
#include "data/generated.h"
#include "token/flow.h"

#include <math.h>

enum { GROUND, DISCS = 3, LAYERS = 1 + DISCS, WAVES = 3, COLOURS = 3, AXES = 2 };

static const double PI = 3.14159265358979323846;
static const double FASTEST = 2; /* pixels */

/* What moves as one. */
typedef struct layer {
    double x, y, radius, u, v;          /* in the first frame */
    double wave[WAVES][2], phase[WAVES]; /* radians a pixel, radians */
    double gain[COLOURS][WAVES], mean[COLOURS];
} layer;

static void make_layer(const generated_document *g, uint32_t number, int64_t size, layer *l) {
    rng_block place = generated_numbers(g, number, 0), motion = generated_numbers(g, number, 1);
    l->x = generated_between(place.v[0], 0, (double)size);
    l->y = generated_between(place.v[1], 0, (double)size);
    l->radius = generated_between(place.v[2], 0.12, 0.28) * (double)size;
    l->u = generated_between(motion.v[0], -FASTEST, FASTEST);
    l->v = generated_between(motion.v[1], -FASTEST, FASTEST);
    for (int w = 0; w < WAVES; w++) {
        rng_block r = generated_numbers(g, number, 2 + w);
        double angle = 2 * PI * generated_uniform(r.v[0]);
        double fast = 2 * PI / generated_between(r.v[1], 7, 24); /* pixels of a wave */
        l->wave[w][0] = fast * cos(angle);
        l->wave[w][1] = fast * sin(angle);
        l->phase[w] = 2 * PI * generated_uniform(r.v[2]);
    }
    for (int c = 0; c < COLOURS; c++) {
        rng_block r = generated_numbers(g, number, 2 + WAVES + c);
        for (int w = 0; w < WAVES; w++) l->gain[c][w] = generated_between(r.v[w], -60, 60);
        l->mean[c] = generated_between(r.v[3], 90, 165);
    }
}

/* The layer that is seen at a place, `moved` times its motion later. */
static const layer *seen_at(const layer *layers, int count, double x, double y, double moved) {
    int k = count - 1;
    for (; k > GROUND; k--)
        if (hypot(x - layers[k].x - moved * layers[k].u, y - layers[k].y - moved * layers[k].v) < layers[k].radius)
            break;
    return &layers[k];
}

/* What a pixel shows. */
typedef struct pixel {
    const layer *l;
    double wave[WAVES];
} pixel;

static pixel pixel_at(const layer *layers, int count, double x, double y, double moved) {
    pixel p = {.l = seen_at(layers, count, x, y, moved)};
    x -= moved * p.l->u;
    y -= moved * p.l->v;
    for (int w = 0; w < WAVES; w++) p.wave[w] = sin(p.l->wave[w][0] * x + p.l->wave[w][1] * y + p.l->phase[w]);
    return p;
}

static int32_t colour_of_pixel(const pixel *p, int c) {
    double value = p->l->mean[c];
    for (int w = 0; w < WAVES; w++) value += p->l->gain[c][w] * p->wave[w];
    return (int32_t)(fmin(fmax(value, 0), 255) + 0.5);
}

static void read(const generated_document *g, int64_t from, int64_t count, int32_t *ids) {
    int64_t size = g->d->tokens.shape[0], frame = size * size * COLOURS;
    layer layers[LAYERS];
    pixel here = {0};
    int layer_count = 1 + (int)(generated_numbers(g, GROUND, 0).v[3] % LAYERS);
    for (uint32_t k = 0; k < LAYERS; k++) make_layer(g, k, size, &layers[k]);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = from + i - 1, motion = at - 2 * frame, part = motion >= 0 ? motion % AXES : at % COLOURS;
        int64_t number = motion >= 0 ? motion / AXES : at % frame / COLOURS;
        if (at < 0) {
            ids[i] = g->d->tokens.start;
            continue;
        }
        if (!here.l || part == 0)
            here = pixel_at(layers, layer_count, (double)(number % size), (double)(number / size),
                            motion < 0 && at >= frame);
        if (motion >= 0) ids[i] = flow_id(part ? here.l->v : here.l->u);
        else ids[i] = g->d->tokens.first + colour_of_pixel(&here, (int)part);
    }
}

static int64_t first_target(int64_t length) { return length; }

const generator moving_sprites = {.name = "sprites", .least = 8, .most = 1024, .tokens = 2 * COLOURS + AXES,
                                  .square = true, .tokenizer = "flow", .first_target = first_target, .read = read};
