/* Pictures: PNG and JPEG files to RGB pixels, scaling, and files back.
 *
 *     picture p = {0};
 *     TRY(picture_read(&p, path, white, err));
 *     TRY(picture_square(&p, 32, err));
 * out:
 *     picture_free(&p); */
#ifndef MEDIA_PICTURE_H
#define MEDIA_PICTURE_H

#include "base/error.h"

#include <stdint.h>

enum {
    PICTURE_FILE = 256 << 20, /* bytes of a file at most */
    PICTURE_SIDE = 32768,     /* pixels of a side at most */
    PICTURE_AREA = 1 << 26,   /* pixels at most: 448 MiB while a file is read */
};

typedef struct picture {
    int width, height;
    uint8_t *rgb; /* [height, width, 3] */
} picture;

int picture_open(picture *p, int width, int height, pcv_error *err); /* black */
void picture_free(picture *p);

/* PNG of every colour type, depth and interlace; JPEG in grey, colour or CMYK. Transparent pixels are laid over
 * `background`; a photograph stands upright, as its Exif orientation says. PCV_DATA: neither, damaged, or too large. */
int picture_read(picture *p, const char *path, const uint8_t background[3], pcv_error *err);
int picture_parse(picture *p, const void *data, size_t size, const char *name, const uint8_t background[3],
                  pcv_error *err);

/* Upright, from what is stored with an orientation (media/exif.h). */
int picture_turn(picture *p, int orientation, pcv_error *err);

/* The square in the middle, scaled to `size` pixels a side by a Lanczos filter (three lobes, as wide as the pixels of
 * the coarser grid, so that nothing is left out). */
int picture_square(picture *p, int size, pcv_error *err);

/* Every pixel becomes a square of `times` pixels a side. */
int picture_enlarge(picture *p, int times, pcv_error *err);

/* Copies `from` into `to` with its upper left corner at (x, y); what does not fit is left out. */
void picture_place(picture *to, const picture *from, int x, int y);

/* A PNG, or a JPEG where the name ends so. PCV_USAGE: another ending; check asks before there is a picture. */
int picture_check(const char *path, pcv_error *err);
int picture_write(const picture *p, const char *path, pcv_error *err);

/* A PNG of pixels that are indices of a palette of RGB entries. */
int picture_write_palette(const char *path, int width, int height, const uint8_t *pixels, const uint8_t (*palette)[3],
                          int entries, pcv_error *err);

/* Black, violet, red, yellow, white for 0 to 1. */
void colour_of(double x, uint8_t rgb[3]);

/* "#rrggbb" or "rrggbb". */
int colour_parse(const char *text, uint8_t rgb[3], pcv_error *err);

#endif
