/* Sound files: everything that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF, ...) to one channel of floats at a rate of
 * choice, and 16-bit files back.
 *
 *     sound s = {0};
 *     TRY(sound_read(&s, path, 16000, err));      // s.samples [s.count], from -1 to 1
 * out:
 *     sound_free(&s); */
#ifndef MEDIA_SOUND_FILE_H
#define MEDIA_SOUND_FILE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SOUND_HOURS = 4, /* of a file at most, at any rate */
    SOUND_CHANNELS = 64,
    SOUND_RATE_LEAST = 1000,
    SOUND_RATE_MOST = 768000,
};

typedef struct sound {
    float *samples; /* [count] */
    size_t count, capacity;
    int64_t rate; /* samples a second */
} sound;

/* The mean of the channels, cut off at -1 and 1, resampled by libsoxr. Nothing is taken from the file's header but
 * the rate and the number of channels, so memory grows with what is there. PCV_DATA: no sound, damaged, truncated
 * where the format can tell, more than SOUND_HOURS, not a number, or nothing left at that rate. A FLAC whose samples
 * are not those of its header's MD5 is read, and *err has a message beside the status 0. */
int sound_read(sound *s, const char *path, int64_t rate, pcv_error *err);
void sound_free(sound *s);

/* One channel of 16 bits, in the format of the name's ending: WAV (also without one), FLAC, and OGG, Opus and MP3 where
 * libsndfile has them for this rate. What lies beyond -1 and 1 is cut off. PCV_USAGE: another ending; check asks before
 * there is a sound. */
int sound_check(const char *path, int64_t rate, pcv_error *err);
int sound_write(const char *path, const float *samples, size_t count, int64_t rate, pcv_error *err);

#endif
