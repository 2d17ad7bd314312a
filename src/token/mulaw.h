/* The mu-law curve in 256 steps. */
#ifndef TOKEN_MULAW_H
#define TOKEN_MULAW_H

#include <stdint.h>

int32_t mulaw_step(float x);    /* of a sample in [-1, 1] */
float mulaw_value(int32_t step);

#endif
