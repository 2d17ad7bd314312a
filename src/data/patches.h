/* Pictures and films as lists of vectors, for models that read vectors: numbers in, numbers out, nothing is learned.
 * Values of a film [T, H, W, C] lie in this order; a picture is a film of one frame. */
#ifndef DATA_PATCHES_H
#define DATA_PATCHES_H

#include <stdint.h>

typedef struct film_shape {
    int64_t T, H, W, C;
} film_shape;

/* Blocks of t frames of s x s pixels, side by side (space to depth): out [T/t H/s W/s, t s s C], the vector of a block
 * in the order of its values. t and s divide. */
void patches_blocks(const float *film, const film_shape *shape, int64_t t, int64_t s, float *out);

/* Windows of side x side pixels around every other pixel of every other row, as a convolution with padding SAME and a
 * stride of 2 sees them, zeros beyond the border; of a picture with even sides: out [H/2 W/2, side side C]. */
void patches_windows(const float *picture, const film_shape *shape, int64_t side, float *out);

/* Around every pixel its 3 x 3 neighbours, row by row, zeros beyond the border, of one frame after the other:
 * out [H W, T 9 C]. */
void patches_around(const float *film, const film_shape *shape, float *out);

#endif
