#include "media/piano_roll.h"
#include "base/mem.h"
#include "media/picture.h"

#include <math.h>

enum { ROW = 6, PIXELS_SECOND = 40, NARROWEST = 64, WIDEST = 8192 };
enum { BACKGROUND, LINE, SOFTEST, COLOURS = 64 };

typedef struct roll {
    int low, width, height; /* low: the pitch of the lowest row */
    double scale;           /* pixels a second */
    unsigned char *pixels;
} roll;

static void measure(roll *r, const midi_note *notes, size_t count) {
    int low = 60, high = 71;
    double length = 0;
    for (size_t i = 0; i < count; i++) {
        if (!i || notes[i].pitch < low) low = notes[i].pitch;
        if (!i || notes[i].pitch > high) high = notes[i].pitch;
        length = fmax(length, notes[i].end);
    }
    r->low = low / 12 * 12;
    r->height = (high / 12 * 12 + 12 - r->low) * ROW;
    r->width = (int)fmin(fmax(ceil(length * PIXELS_SECOND), NARROWEST), WIDEST);
    r->scale = fmin(r->width / fmax(length, 1e-3), PIXELS_SECOND);
}

/* Its lowest pixel row stays free, and its last column where there are others, so that neighbours stay apart. */
static void draw_note(const roll *r, const midi_note *n) {
    int shade = SOFTEST + n->velocity * (COLOURS - 1 - SOFTEST) / 127, bottom = r->height - (n->pitch - r->low) * ROW;
    int from = (int)(n->start * r->scale), to = (int)(n->end * r->scale) - 1;
    if (from > r->width - 1) from = r->width - 1;
    if (to > r->width) to = r->width;
    if (to <= from) to = from + 1;
    for (int y = bottom - ROW; y < bottom - 1; y++)
        for (int x = from; x < to; x++) {
            unsigned char *p = &r->pixels[(size_t)y * (size_t)r->width + (size_t)x];
            if (*p < shade) *p = (unsigned char)shade;
        }
}

static void draw_lines(const roll *r) {
    for (int y = r->height - 1; y >= 0; y -= 12 * ROW)
        for (int x = 0; x < r->width; x++) r->pixels[(size_t)y * (size_t)r->width + (size_t)x] = LINE;
}

/* Dark blue, a grey line, then from blue to a warm white. */
static void fill_colours(unsigned char map[COLOURS][3]) {
    static const double soft[] = {36, 66, 120}, loud[] = {255, 240, 200};
    static const unsigned char background[] = {16, 18, 28}, line[] = {58, 62, 78};
    for (int k = 0; k < 3; k++) {
        map[BACKGROUND][k] = background[k];
        map[LINE][k] = line[k];
        for (int i = SOFTEST; i < COLOURS; i++)
            map[i][k] = (unsigned char)(soft[k] + (loud[k] - soft[k]) * (i - SOFTEST) / (COLOURS - 1 - SOFTEST) + 0.5);
    }
}

int piano_roll_draw(const char *path, const midi_note *notes, size_t count, pcv_error *err) {
    roll r = {0};
    unsigned char map[COLOURS][3];
    measure(&r, notes, count);
    int status = mem_get(&r.pixels, (size_t)r.width * (size_t)r.height, "a picture", err);
    if (status) return status;
    draw_lines(&r);
    for (size_t i = 0; i < count; i++) draw_note(&r, &notes[i]);
    fill_colours(map);
    status = picture_write_palette(path, r.width, r.height, r.pixels, map, COLOURS, err);
    mem_free(r.pixels);
    return status;
}
