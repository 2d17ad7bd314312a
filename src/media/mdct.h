/* The modified discrete cosine transform (Princen and Bradley 1987) with a sine window: frames of `size` new samples,
 * each seen together with the `size` before it, become `size` numbers each. The transform is orthonormal: sums of
 * squares stay as they are, and overlapping inverse transforms give every sample back that two frames cover. */
#ifndef MEDIA_MDCT_H
#define MEDIA_MDCT_H

#include "media/fourier.h"

enum { MDCT_MOST = 2 * FOURIER_MOST };

typedef struct mdct {
    int size;
    fourier f;
    float *window;        /* [2 size] */
    complex_float *twist; /* [size / 2] */
} mdct;

int mdct_open(mdct *m, int size, pcv_error *err); /* even, 2 to MDCT_MOST */
void mdct_close(mdct *m);

/* in [2 size] -> out [size]; from several threads at once if need be. */
void mdct_analyse(const mdct *m, const float *in, float *out);
void mdct_overlap_add(const mdct *m, const float *in, float *out); /* out [2 size] += the inverse of in [size] */

#endif
