/* Point clouds: files to coordinates. PLY (ascii, and binary of either byte order), OFF, and tables of numbers, of
 * which the first three of a line are a point: XYZ and TXT with white space between them, CSV with commas and perhaps
 * a heading.
 *
 *     points p = {0};
 *     TRY(points_read(&p, path, err));            // p.xyz [p.count, 3]
 * out:
 *     points_free(&p); */
#ifndef MEDIA_POINTS_FILE_H
#define MEDIA_POINTS_FILE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { POINTS_FILE = 1 << 30, POINTS_MOST = 1 << 24 }; /* bytes of a file, points of one */

typedef struct points {
    float *xyz; /* [count, 3] */
    size_t count, capacity;
} points;

/* PCV_DATA: none of these, damaged, no points, or coordinates that are no numbers. */
int points_read(points *p, const char *path, pcv_error *err);
int points_parse(points *p, const char *data, size_t size, const char *name, pcv_error *err);
void points_free(points *p);

/* Centred, and scaled as a whole so that the farthest coordinate is 1. */
void points_normalize(points *p);

#endif
