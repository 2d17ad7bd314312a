/* MP3 by libmpg123 itself: through libsndfile it prints about every damaged file, and cannot be told not to. */
#include "media/sound_source.h"

#include <mpg123.h>
#include <unistd.h>

enum { TAG = 10 }; /* bytes of the header of an ID3v2 tag, and of its footer */

/* Where the bytes behind all ID3v2 tags begin. */
static off_t behind_tags(file_reader *file) {
    unsigned char b[TAG];
    off_t at = 0;
    size_t got;
    pcv_error unused;
    while (lseek(file->fd, at, SEEK_SET) == at && !file_next(file, b, TAG, &got, &unused) && got == TAG &&
           b[0] == 'I' && b[1] == 'D' && b[2] == '3' && (b[6] | b[7] | b[8] | b[9]) < 128)
        at += TAG + (b[6] << 21 | b[7] << 14 | b[8] << 7 | b[9]) + (b[5] & 0x10 ? TAG : 0);
    return at;
}

/* A frame's header: eleven bits of 1, and no field with its reserved value. */
bool sound_is_mpeg(file_reader *file) {
    unsigned char b[4];
    size_t got = 0;
    pcv_error unused;
    off_t at = behind_tags(file);
    bool read = lseek(file->fd, at, SEEK_SET) == at && !file_next(file, b, sizeof b, &got, &unused);
    lseek(file->fd, 0, SEEK_SET);
    if (!read || got < sizeof b) return false;
    bool synchronous = b[0] == 0xFF && b[1] >= 0xE0, version = (b[1] & 0x18) != 0x08, layer = b[1] & 0x06;
    return synchronous && version && layer && (b[2] & 0xF0) != 0xF0 && (b[2] & 0x0C) != 0x0C;
}

/* Frames of another rate or with other channels than the first one's are left out; a stream whose format changes all
 * the same is damaged. */
static int64_t read_frames(sound_source *s, float *out, int64_t frames) {
    const size_t frame = (size_t)s->channels * sizeof *out, wanted = (size_t)frames * frame;
    size_t got = 0;
    int status = MPG123_OK;
    while (got < wanted && status == MPG123_OK) {
        size_t more = 0;
        status = mpg123_read(s->state, (void *)((char *)out + got), wanted - got, &more);
        got += more;
    }
    if (got >= frame && status != MPG123_NEW_FORMAT) return (int64_t)(got / frame);
    return status == MPG123_OK || status == MPG123_DONE ? 0 : -1;
}

static void close_mpeg(sound_source *s) { mpg123_delete(s->state); }

static int open_stream(mpg123_handle *m, int fd, sound_source *s) {
    const long flags = MPG123_QUIET | MPG123_FORCE_FLOAT | MPG123_GAPLESS | MPG123_NO_FRANKENSTEIN | MPG123_SKIP_ID3V2;
    long rate;
    int encoding;
    if (mpg123_param(m, MPG123_REMOVE_FLAGS, MPG123_AUTO_RESAMPLE, 0)) return -1;
    if (mpg123_param(m, MPG123_ADD_FLAGS, flags, 0) || mpg123_open_fd(m, fd)) return -1;
    if (mpg123_getformat(m, &rate, &s->channels, &encoding) || encoding != MPG123_ENC_FLOAT_32) return -1;
    s->rate = (int)rate;
    return 0;
}

int sound_source_mpeg(sound_source *s, file_reader *file, pcv_error *err) {
    mpg123_handle *m = mpg123_new(NULL, NULL);
    if (!m) return fail(err, PCV_MEMORY, "%s: not enough memory to read an MP3", file->path);
    *s = (sound_source){.frames = -1, .read = read_frames, .close = close_mpeg, .state = m};
    if (!open_stream(m, file->fd, s)) return 0;
    s->close(s);
    *s = (sound_source){0};
    return fail(err, PCV_DATA, "%s: begins like an MP3, but its first frames are damaged", file->path);
}
