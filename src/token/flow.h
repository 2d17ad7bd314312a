/* Pairs of frames and how the first one's pixels move until the second. */
#ifndef TOKEN_FLOW_H
#define TOKEN_FLOW_H

#include "media/picture.h"
#include "token/token.h"

/* The id of a motion in pixels, of which an id tells 64 parts, up to 511 of them; not a number: nobody knows. */
int32_t flow_id(double pixels);

/* Both frames, of one size. PCV_DATA where they are of different ones. */
int flow_frames(const tokenizer *t, const char *first, const char *second, picture frame[2], pcv_error *err);

/* Appends the ids of a square of t->config.size pixels a side, with its upper left corner at (left, top). */
int flow_square(const tokenizer *t, const picture *p, int left, int top, id_list *ids, pcv_error *err);

#endif
