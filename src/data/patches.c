#include "data/patches.h"

#include <stdbool.h>
#include <string.h>

/* What lies at (frame, row, column). */
static const float *pixel(const float *film, const film_shape *s, int64_t frame, int64_t row, int64_t column) {
    return film + ((frame * s->H + row) * s->W + column) * s->C;
}

void patches_blocks(const float *film, const film_shape *shape, int64_t t, int64_t s, float *out) {
    const size_t run = (size_t)(s * shape->C); /* values of a block's row lie side by side */
    for (int64_t frame = 0; frame < shape->T; frame += t)
        for (int64_t row = 0; row < shape->H; row += s)
            for (int64_t column = 0; column < shape->W; column += s)
                for (int64_t i = 0; i < t * s; i++, out += run)
                    memcpy(out, pixel(film, shape, frame + i / s, row + i % s, column), run * sizeof *out);
}

/* The pixels of a square with its upper left corner at (top, left). Returns where its last one ended. */
static float *square(const float *film, const film_shape *shape, int64_t frame, int64_t top, int64_t left, int64_t side,
                     float *out) {
    const size_t C = (size_t)shape->C;
    for (int64_t n = 0; n < side * side; n++, out += C) {
        int64_t row = top + n / side, column = left + n % side;
        bool inside = row >= 0 && row < shape->H && column >= 0 && column < shape->W;
        if (inside) memcpy(out, pixel(film, shape, frame, row, column), C * sizeof *out);
        else memset(out, 0, C * sizeof *out);
    }
    return out;
}

void patches_around(const float *film, const film_shape *shape, float *out) {
    for (int64_t i = 0; i < shape->H * shape->W; i++)
        for (int64_t frame = 0; frame < shape->T; frame++)
            out = square(film, shape, frame, i / shape->W - 1, i % shape->W - 1, 3, out);
}

void patches_windows(const float *picture, const film_shape *shape, int64_t side, float *out) {
    const int64_t before = (side - 2) / 2; /* the smaller half of what is missing */
    for (int64_t row = 0; row < shape->H; row += 2)
        for (int64_t column = 0; column < shape->W; column += 2)
            out = square(picture, shape, 0, row - before, column - before, side, out);
}
