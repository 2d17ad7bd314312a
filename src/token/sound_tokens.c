#include "token/sound_tokens.h"
#include "media/spectrogram.h"

int sound_tokens_write(decode_sound *decode, const tokenizer *t, const int32_t *ids, size_t count, const char *path,
                       pcv_error *err) {
    sound s = {0};
    int status = decode(t, ids, count, &s, err);
    if (!status) status = sound_write(path, s.samples, s.count, t->config.rate, err);
    sound_free(&s);
    return status;
}

int sound_tokens_check(const tokenizer *t, const char *path, pcv_error *err) {
    return sound_check(path, t->config.rate, err);
}

int sound_tokens_draw(decode_sound *decode, const tokenizer *t, const int32_t *ids, size_t count, const char *path,
                      pcv_error *err) {
    sound s = {0};
    int status = decode(t, ids, count, &s, err);
    if (!status) status = spectrogram_draw(path, s.samples, s.count, err);
    sound_free(&s);
    return status;
}
