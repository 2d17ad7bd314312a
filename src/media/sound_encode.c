#include "media/sound_encode.h"
#include "base/mem.h"
#include "media/sound_source.h"

#include <string.h>

static const struct {
    const char *ending;
    int format; /* 0: written without libsndfile */
} formats[SOUND_FORMATS] = {
    {".wav", 0},
    {".flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
    {".ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS},
    {".opus", SF_FORMAT_OGG | SF_FORMAT_OPUS},
    {".mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III},
};

/* ------------------------------------------------------------------ a file in memory */

typedef struct sink {
    file_bytes *out;
    size_t at, room;
    bool failed; /* for want of memory */
} sink;

static sf_count_t length_of(void *user) { return (sf_count_t)((sink *)user)->out->size; }

static sf_count_t tell(void *user) { return (sf_count_t)((sink *)user)->at; }

static sf_count_t seek_to(sf_count_t offset, int whence, void *user) {
    sink *s = user;
    sf_count_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? tell(s) : length_of(s);
    if (from + offset < 0 || from + offset > length_of(s)) return -1;
    s->at = (size_t)(from + offset);
    return tell(s);
}

static sf_count_t write_bytes(const void *from, sf_count_t count, void *user) {
    sink *s = user;
    size_t end = s->at + (size_t)count;
    pcv_error unused;
    if (end > s->room) {
        size_t room = 2 * end + 4096;
        s->failed |= mem_resize(&s->out->data, room, "a sound", &unused) != 0;
        if (s->failed) return 0;
        s->room = room;
    }
    memcpy(s->out->data + s->at, from, (size_t)count);
    s->at = end;
    if (s->out->size < end) s->out->size = end;
    return count;
}

static SNDFILE *open_encoder(sink *s, int format, int64_t rate) {
    SF_VIRTUAL_IO io = {length_of, seek_to, NULL, write_bytes, tell}; /* what is written is not read again */
    SF_INFO info = {.samplerate = (int)rate, .channels = 1, .format = format};
    return sf_format_check(&info) ? sound_open_alone(&io, SFM_WRITE, &info, s) : NULL;
}

/* ------------------------------------------------------------------ what others call */

static bool can_write(int format, int64_t rate) {
    file_bytes out = {0};
    sink s = {.out = &out};
    SNDFILE *f = format ? open_encoder(&s, format, rate) : NULL;
    if (f) sf_close(f);
    file_bytes_free(&out);
    return !format || f;
}

void sound_formats(int64_t rate, const char *endings[SOUND_FORMATS + 1]) {
    for (int i = 0; i < SOUND_FORMATS; i++)
        if (can_write(formats[i].format, rate)) *endings++ = formats[i].ending;
    *endings = NULL;
}

int sound_encode(file_bytes *out, const char *ending, const int16_t *samples, size_t count, int64_t rate,
                 const char *path, pcv_error *err) {
    int format = 0;
    *out = (file_bytes){0};
    sink s = {.out = out};
    for (int i = 0; i < SOUND_FORMATS; i++)
        if (!strcmp(ending, formats[i].ending)) format = formats[i].format;
    SNDFILE *f = open_encoder(&s, format, rate);
    bool written = f && sf_write_short(f, samples, (sf_count_t)count) == (sf_count_t)count;
    written = f && sf_close(f) == 0 && written;
    if (written && !s.failed) return 0;
    file_bytes_free(out);
    if (s.failed) return fail(err, PCV_MEMORY, "%s: not enough memory for the sound", path);
    return fail(err, PCV_IO, "%s: the sound cannot be encoded as '%s'", path, ending);
}
