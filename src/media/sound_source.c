#include "media/sound_source.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------ a file behind libsndfile's virtual one */

static sf_count_t length_of(void *user) {
    struct stat s;
    return fstat(((file_reader *)user)->fd, &s) ? -1 : (sf_count_t)s.st_size;
}

static sf_count_t seek_to(sf_count_t offset, int whence, void *user) {
    return lseek(((file_reader *)user)->fd, offset, whence);
}

static sf_count_t read_bytes(void *out, sf_count_t count, void *user) {
    size_t got;
    pcv_error unused;
    return file_next(user, out, (size_t)count, &got, &unused) ? 0 : (sf_count_t)got;
}

static sf_count_t tell(void *user) { return seek_to(0, SEEK_CUR, user); }

/* ------------------------------------------------------------------ libsndfile */

static int64_t read_frames(sound_source *s, float *out, int64_t frames) {
    sf_count_t got = sf_readf_float(s->state, out, frames);
    if (got > 0) return got;
    return sf_error(s->state) ? -1 : 0;
}

static void close_sndfile(sound_source *s) { sf_close(s->state); }

/* What a file that libsndfile refuses may have been, from its first bytes. */
static const char *likely_format(file_reader *file) {
    static const char *const begins[][2] = {{"RIFF", "a WAV"},  {"RF64", "a WAV"},   {"fLaC", "a FLAC"},
                                            {"OggS", "an OGG"}, {"FORM", "an AIFF"}, {"ID3", "an MP3"}};
    char head[4] = "";
    size_t got;
    pcv_error unused;
    if (lseek(file->fd, 0, SEEK_SET) || file_next(file, head, sizeof head, &got, &unused)) return NULL;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (!strncmp(head, begins[i][0], strlen(begins[i][0]))) return begins[i][1];
    return NULL;
}

static int refuse(file_reader *file, pcv_error *err) {
    const char *format = likely_format(file);
    if (!format) return fail(err, PCV_DATA, "%s: no sound file (WAV, FLAC, OGG, MP3, AIFF)", file->path);
    return fail(err, PCV_DATA, "%s: begins like %s, but is damaged, or of a kind that cannot be read", file->path,
                format);
}

SNDFILE *sound_open_alone(SF_VIRTUAL_IO *io, int mode, SF_INFO *info, void *user) {
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one_at_a_time);
    SNDFILE *f = sf_open_virtual(io, mode, info, user);
    pthread_mutex_unlock(&one_at_a_time);
    return f;
}

int sound_source_open(sound_source *s, file_reader *file, pcv_error *err) {
    SF_VIRTUAL_IO io = {length_of, seek_to, read_bytes, NULL, tell};
    SF_INFO info = {0};
    if (sound_is_mpeg(file)) return sound_source_mpeg(s, file, err);
    SNDFILE *in = sound_open_alone(&io, SFM_READ, &info, file);
    if (!in) return refuse(file, err);
    /* Of FLAC the header's length is exact; other formats estimate it, or mend it while they open the file. */
    bool is_flac = (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC;
    *s = (sound_source){.channels = info.channels, .rate = info.samplerate, .is_flac = is_flac,
                        .frames = is_flac && info.frames != SF_COUNT_MAX ? info.frames : -1, .read = read_frames,
                        .close = close_sndfile, .state = in};
    return 0;
}
