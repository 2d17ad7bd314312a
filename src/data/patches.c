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

void patches_around(const float *film, const film_shape *shape, float *out) {
    const size_t C = (size_t)shape->C;
    for (int64_t i = 0; i < shape->H * shape->W; i++)
        for (int64_t n = 0; n < shape->T * 9; n++, out += C) {
            int64_t row = i / shape->W + n % 9 / 3 - 1, column = i % shape->W + n % 3 - 1;
            bool inside = row >= 0 && row < shape->H && column >= 0 && column < shape->W;
            if (inside) memcpy(out, pixel(film, shape, n / 9, row, column), C * sizeof *out);
            else memset(out, 0, C * sizeof *out);
        }
}
