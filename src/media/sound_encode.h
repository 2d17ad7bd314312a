/* Sound in the formats that libsndfile writes on this machine: which they are depends on how it was built, and for some
 * on the rate. Encoders write into memory, since they go back to their headers; a file is written from there.
 *
 *     const char *endings[SOUND_FORMATS + 1];
 *     sound_formats(16000, endings);               // ".wav", ".flac", ..., NULL
 *     TRY(sound_encode(&out, ".flac", samples, count, 16000, path, err));
 *     file_bytes_free(&out); */
#ifndef MEDIA_SOUND_ENCODE_H
#define MEDIA_SOUND_ENCODE_H

#include "base/file.h"

enum { SOUND_FORMATS = 5 };

/* Endings of names; ".wav" is always there, and the first. */
void sound_formats(int64_t rate, const char *endings[SOUND_FORMATS + 1]);

/* One channel of 16 bits, in a format other than WAV; `path` is for the error. */
int sound_encode(file_bytes *out, const char *ending, const int16_t *samples, size_t count, int64_t rate,
                 const char *path, pcv_error *err);

#endif
