#include "media/axes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    WIDE = 5, HIGH = 7, DOT = 2,        /* a glyph's dots, and pixels of a dot's side */
    ADVANCE = (WIDE + 1) * DOT,         /* from one character to the next */
    LINE = HIGH * DOT,                  /* height of a line of text */
    TICK = 6, SPACE = 4,                /* length of a tick; around texts */
    DIGITS = 19,
};

/* The rows of a character from the top, five bits each. */
static const struct { char c; uint8_t row[HIGH]; } glyphs[] = {
    {'0', {0x0E, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0E}}, {'1', {0x04, 0x0C, 0x04, 0x04, 0x04, 0x04, 0x0E}},
    {'2', {0x0E, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1F}}, {'3', {0x1F, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0E}},
    {'4', {0x02, 0x06, 0x0A, 0x12, 0x1F, 0x02, 0x02}}, {'5', {0x1F, 0x10, 0x1E, 0x01, 0x01, 0x11, 0x0E}},
    {'6', {0x06, 0x08, 0x10, 0x1E, 0x11, 0x11, 0x0E}}, {'7', {0x1F, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08}},
    {'8', {0x0E, 0x11, 0x11, 0x0E, 0x11, 0x11, 0x0E}}, {'9', {0x0E, 0x11, 0x11, 0x0F, 0x01, 0x02, 0x0C}},
    {'a', {0x00, 0x00, 0x0E, 0x01, 0x0F, 0x11, 0x0F}}, {'e', {0x00, 0x00, 0x0E, 0x11, 0x1F, 0x10, 0x0E}},
    {'i', {0x04, 0x00, 0x0C, 0x04, 0x04, 0x04, 0x0E}}, {'l', {0x0C, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0E}},
    {'n', {0x00, 0x00, 0x16, 0x19, 0x11, 0x11, 0x11}}, {'p', {0x00, 0x00, 0x1E, 0x11, 0x1E, 0x10, 0x10}},
    {'t', {0x08, 0x08, 0x1C, 0x08, 0x08, 0x09, 0x06}}, {'u', {0x00, 0x00, 0x11, 0x11, 0x11, 0x13, 0x0D}},
};

/* ------------------------------------------------------------------ black on white */

static void fill(picture *p, int x, int y, int width, int height) {
    for (int64_t r = y; r < y + height; r++)
        for (int64_t c = x; c < x + width; c++)
            if (r >= 0 && c >= 0 && r < p->height && c < p->width) memset(p->rgb + 3 * (r * p->width + c), 0, 3);
}

static int width_of(const char *text) { return (int)strlen(text) * ADVANCE - DOT; }

static void write_text(picture *p, const char *text, int x, int y) {
    for (; *text; text++, x += ADVANCE)
        for (size_t g = 0; g < sizeof glyphs / sizeof *glyphs; g++)
            for (int i = 0; i < WIDE * HIGH && glyphs[g].c == *text; i++)
                if (glyphs[g].row[i / WIDE] >> (WIDE - 1 - i % WIDE) & 1)
                    fill(p, x + i % WIDE * DOT, y + i / WIDE * DOT, DOT, DOT);
}

/* ------------------------------------------------------------------ scales */

/* The least of 1, 2, 5, 10, 20, ... whose ticks lie `apart` pixels apart on an axis of `pixels`. */
static int64_t step_of(const picture_axis *a, int pixels, int apart) {
    static const int factor[] = {1, 2, 5};
    int64_t range = a->to - a->from, power = 1, step = 1;
    for (int i = 0; (double)step * pixels / (double)range < apart && step < range; step = power * factor[++i % 3])
        if (i % 3 == 2) power *= 10;
    return step;
}

/* The first tick that is not in front of the axis. */
static int64_t first_tick(const picture_axis *a, int64_t step) { return (a->from + step - 1) / step * step; }

/* The middle of what stands for `value`. */
static int pixel_of(const picture_axis *a, int pixels, int64_t value) {
    return (int)(((double)(value - a->from) + 0.5) * pixels / (double)(a->to - a->from));
}

static int widest(const picture_axis *a) {
    char digits[DIGITS + 2];
    snprintf(digits, sizeof digits, "%lld", (long long)a->to);
    return width_of(digits);
}

static void draw_right(picture *p, const picture_axis *a, int x, int y, int pixels) {
    char digits[DIGITS + 2];
    int64_t step = step_of(a, pixels, widest(a) + 4 * SPACE);
    for (int64_t v = first_tick(a, step); v < a->to; v += step) {
        int at = x + pixel_of(a, pixels, v);
        snprintf(digits, sizeof digits, "%lld", (long long)v);
        fill(p, at, y, 1, TICK);
        write_text(p, digits, at - width_of(digits) / 2, y + TICK + SPACE);
    }
    write_text(p, a->title, x + (pixels - width_of(a->title)) / 2, y + TICK + 2 * SPACE + LINE);
}

static void draw_down(picture *p, const picture_axis *a, int x, int y, int pixels) {
    char digits[DIGITS + 2];
    int64_t step = step_of(a, pixels, 2 * LINE);
    for (int64_t v = first_tick(a, step); v < a->to; v += step) {
        int at = y + pixel_of(a, pixels, v);
        snprintf(digits, sizeof digits, "%lld", (long long)v);
        fill(p, x - TICK, at, TICK, 1);
        write_text(p, digits, x - TICK - SPACE - width_of(digits), at - LINE / 2);
    }
    write_text(p, a->title, SPACE, SPACE);
}

int picture_add_axes(picture *p, const picture_axis *right, const picture_axis *down, pcv_error *err) {
    int numbers = widest(down), title = width_of(down->title), top = LINE + 2 * SPACE;
    int left = (numbers > title ? numbers : title) + TICK + 2 * SPACE, beyond = widest(right) / 2 + SPACE;
    picture out;
    int status = picture_open(&out, left + p->width + beyond, top + p->height + TICK + 3 * SPACE + 2 * LINE, err);
    if (status) return status;
    memset(out.rgb, 0xFF, 3 * (size_t)out.width * (size_t)out.height);
    picture_place(&out, p, left, top);
    draw_right(&out, right, left, top + p->height, p->width);
    draw_down(&out, down, left, top, p->height);
    picture_free(p);
    *p = out;
    return 0;
}
