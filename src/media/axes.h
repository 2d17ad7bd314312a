/* A scale of numbers on two sides of a picture: ticks below it and to its left, at round numbers, and what they count.
 *
 *     TRY(picture_add_axes(&p, &(picture_axis){"input", 0, 4096}, &(picture_axis){"latent", 3584, 4096}, err)); */
#ifndef MEDIA_AXES_H
#define MEDIA_AXES_H

#include "media/picture.h"

typedef struct picture_axis {
    const char *title; /* of letters that axes.c has a shape for */
    int64_t from, to;  /* the picture shows from, ..., to - 1, all equally wide */
} picture_axis;

int picture_add_axes(picture *p, const picture_axis *right, const picture_axis *down, pcv_error *err);

#endif
