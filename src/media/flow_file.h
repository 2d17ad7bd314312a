/* Optical flow: how far every pixel of a frame moves until the next, right and down, in pixels. Files of the Middlebury
 * kind (.flo; Baker et al. 2007), and pictures of flows, whose colour is a direction and whose strength a distance.
 *
 *     flow f = {0};
 *     TRY(flow_read(&f, "frame-0001.flo", err));  // f.uv [f.height, f.width, 2]
 * out:
 *     flow_free(&f); */
#ifndef MEDIA_FLOW_FILE_H
#define MEDIA_FLOW_FILE_H

#include "media/picture.h"

typedef struct flow {
    int width, height;
    float *uv; /* [height, width, 2]; not a number: nobody knows */
} flow;

int flow_open(flow *f, int width, int height, pcv_error *err); /* nothing moves */
void flow_free(flow *f);

/* PCV_DATA: another kind of file, one that is cut off or too large, or motions that are no numbers. Numbers above 10^9
 * stand for what is not known. */
int flow_read(flow *f, const char *path, pcv_error *err);
int flow_parse(flow *f, const void *data, size_t size, const char *name, pcv_error *err);
int flow_write(const flow *f, const char *path, pcv_error *err);

/* White is no motion, full colours are the largest motion there is, black is not known. */
int flow_picture(const flow *f, picture *p, pcv_error *err);

#endif
