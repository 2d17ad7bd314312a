/* Films of four frames with sound: a disc with waves of its own moves before a ground with waves; where it goes is the
 * label, and the pitch of the sound tells how high it is in each frame. */
#include "data/generated.h"
#include "token/mulaw.h"

#include <math.h>

enum { DISC, GROUND, LAYERS }; /* streams */
enum { FRAMES = 4, SAMPLES = 16, COLOURS = 3, WAVES = 2, SOUND = FRAMES * SAMPLES };
static const char *const names[] = {"right", "left", "down", "up", NULL};
static const int step[][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};

static const double PI = 3.14159265358979323846;

/* Waves that move with what shows them. */
typedef struct layer {
    double wave[WAVES][2], phase[WAVES]; /* radians a pixel, radians */
    double gain[COLOURS][WAVES], mean[COLOURS];
} layer;

typedef struct film {
    double x, y, radius, u, v; /* of the disc in the first frame, and pixels that it moves until the next */
    layer layers[LAYERS];
} film;

static int32_t label(const generated_document *g) { return (int32_t)(generated_numbers(g, DISC, 0).v[0] % 4); }

static void make_layer(const generated_document *g, uint32_t stream, int64_t size, layer *l) {
    for (int w = 0; w < WAVES; w++) {
        rng_block r = generated_numbers(g, stream, 2 + w);
        double angle = 2 * PI * generated_uniform(r.v[0]);
        double fast = 2 * PI / generated_between(r.v[1], 0.6, 2) / (double)size;
        l->wave[w][0] = fast * cos(angle);
        l->wave[w][1] = fast * sin(angle);
        l->phase[w] = 2 * PI * generated_uniform(r.v[2]);
    }
    for (int c = 0; c < COLOURS; c++) {
        rng_block r = generated_numbers(g, stream, 8 + c);
        for (int w = 0; w < WAVES; w++) l->gain[c][w] = generated_between(r.v[w], -35, 35);
        l->mean[c] = stream == DISC ? generated_between(r.v[3], 140, 190) : generated_between(r.v[3], 60, 120);
    }
}

/* The disc stays within the frame. */
static film make_film(const generated_document *g, int64_t size) {
    rng_block place = generated_numbers(g, DISC, 0), more = generated_numbers(g, DISC, 1);
    const int *way = step[label(g)];
    double far = 0.12 * (double)size; /* a frame's motion */
    film f = {.radius = generated_between(more.v[0], 0.15, 0.22) * (double)size, .u = far * way[0], .v = far * way[1]};
    double low = f.radius, high = (double)size - f.radius, path = (FRAMES - 1) * far;
    f.x = generated_between(place.v[1], low + (f.u < 0 ? path : 0), high - (f.u > 0 ? path : 0));
    f.y = generated_between(place.v[2], low + (f.v < 0 ? path : 0), high - (f.v > 0 ? path : 0));
    for (uint32_t s = 0; s < LAYERS; s++) make_layer(g, s, size, &f.layers[s]);
    return f;
}

static int32_t colour_at(const film *f, int64_t frame, double x, double y, int c) {
    double dx = x - f->x - (double)frame * f->u, dy = y - f->y - (double)frame * f->v;
    bool on_disc = dx * dx + dy * dy < f->radius * f->radius;
    const layer *l = &f->layers[on_disc ? DISC : GROUND];
    double value = l->mean[c];
    for (int w = 0; w < WAVES; w++)
        value += l->gain[c][w] * sin(l->wave[w][0] * (on_disc ? dx : x) + l->wave[w][1] * (on_disc ? dy : y) +
                                     l->phase[w]);
    return (int32_t)(fmin(fmax(value, 0), 255) + 0.5);
}

/* The higher the disc, the higher the tone: 1 to 3 waves a frame. */
static double sample_at(const film *f, int64_t number, int64_t size) {
    int64_t frame = number / SAMPLES;
    double height = 1 - (f->y + (double)frame * f->v) / (double)size;
    return 0.8 * sin(2 * PI * (1 + 2 * height) * (double)(number % SAMPLES) / SAMPLES);
}

static void read(const generated_document *g, int64_t from, int64_t count, int32_t *ids) {
    const tokenizer *t = &g->d->tokens;
    const int64_t size = t->shape[0], frame = size * size * COLOURS;
    const film f = make_film(g, size);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = from + i - 1, sound = at - FRAMES * frame, pixel = at % frame / COLOURS;
        if (at < 0) ids[i] = t->start;
        else if (sound >= 0) ids[i] = t->first + mulaw_step((float)sample_at(&f, sound, size));
        else ids[i] = t->first + colour_at(&f, at / frame, (double)(pixel % size), (double)(pixel / size),
                                           (int)(at % COLOURS));
    }
}

static int64_t first_target(int64_t length) { return length; }

const generator moving_films = {.name = "films", .least = 8, .most = 256, .tokens = FRAMES * COLOURS, .more = SOUND,
                                .square = true, .frames = FRAMES, .samples = SAMPLES, .tokenizer = "film",
                                .classes = names, .label = label, .first_target = first_target, .read = read};
