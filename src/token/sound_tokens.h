/* What tokenizers of sound share: decoded samples as a sound file, and as a spectrogram. */
#ifndef TOKEN_SOUND_TOKENS_H
#define TOKEN_SOUND_TOKENS_H

#include "media/sound_file.h"
#include "token/token.h"

/* s->samples [s->count] at t->config.rate, of any ids; the caller frees it whatever is returned. */
typedef int decode_sound(const tokenizer *t, const int32_t *ids, size_t count, sound *s, pcv_error *err);

int sound_tokens_write(decode_sound *decode, const tokenizer *t, const int32_t *ids, size_t count, const char *path,
                       pcv_error *err);
int sound_tokens_check(const tokenizer *t, const char *path, pcv_error *err);
int sound_tokens_draw(decode_sound *decode, const tokenizer *t, const int32_t *ids, size_t count, const char *path,
                      pcv_error *err);

#endif
