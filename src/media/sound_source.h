/* The samples of a sound file as they are stored, from the library that knows its format: libmpg123 for MP3, libsndfile
 * for the rest. None of them prints, closes the file, or shares anything with another thread that reads.
 *
 *     sound_source s;
 *     TRY(sound_source_open(&s, &file, err));   // file: open, and longer open than s
 *     while ((got = s.read(&s, out, frames)) > 0) use(out, got);
 *     if (got < 0) damaged();
 *     s.close(&s); */
#ifndef MEDIA_SOUND_SOURCE_H
#define MEDIA_SOUND_SOURCE_H

#include "base/file.h"

#include <sndfile.h>

typedef struct sound_source sound_source;
struct sound_source {
    int channels, rate;
    bool is_flac;
    int64_t frames; /* that must be there; -1: the format does not say, or only estimates */
    /* Up to `frames` frames, [frames, channels] floats, from -1 to 1. 0: the end; -1: damaged. */
    int64_t (*read)(sound_source *s, float *out, int64_t frames);
    void (*close)(sound_source *s);
    void *state;
};

/* PCV_DATA: a format that nobody here knows, or a header that does not hold. */
int sound_source_open(sound_source *s, file_reader *file, pcv_error *err);

/* The MPEG one, for files that begin as sound_is_mpeg says. */
bool sound_is_mpeg(file_reader *file);
int sound_source_mpeg(sound_source *s, file_reader *file, pcv_error *err);

/* libsndfile keeps the reason of a refusal, and its notes, in memory that all threads share: one file is opened at a
 * time. NULL: refused. */
SNDFILE *sound_open_alone(SF_VIRTUAL_IO *io, int mode, SF_INFO *info, void *user);

/* Whether the samples of a FLAC are those that its encoder saw, as far as its header tells. */
bool flac_is_intact(file_reader *file);

#endif
