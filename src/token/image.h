/* What only pictures have among the tokenizers. */
#ifndef TOKEN_IMAGE_H
#define TOKEN_IMAGE_H

#include "media/picture.h"
#include "token/token.h"

/* The picture of a tokenizer "image" that ids (without the start token) stand for; what is missing is grey. */
int image_picture(const tokenizer *t, const int32_t *ids, size_t count, picture *p, pcv_error *err);

#endif
