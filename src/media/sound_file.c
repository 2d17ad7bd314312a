/* Reading goes in pieces: the channels of a piece are mixed, the mean is resampled, and only that is kept, so
 * memory grows with the sound that comes out, whatever the header says. Mixing first costs one resampler in place
 * of one for each channel. A WAV file is written here, piece by piece; other formats go through an encoder, which
 * needs it whole. */
#include "media/sound_file.h"
#include "base/mem.h"
#include "media/sound_encode.h"
#include "media/sound_source.h"

#include <math.h>
#include <soxr.h>
#include <string.h>

enum { PIECE = 1 << 14 }; /* frames, a sample of every channel each */

typedef struct reader {
    file_reader file;
    sound_source in;  /* .close NULL: not open */
    soxr_t resampler; /* NULL: the rate is the wanted one */
    float *piece;     /* [PIECE, channels] */
    float *out;       /* [PIECE] from the resampler */
    int64_t frames;   /* read so far */
} reader;

/* ------------------------------------------------------------------ reading */

static int open_file(reader *r, const char *path, pcv_error *err) {
    int status = file_open(&r->file, path, err);
    if (!status) status = sound_source_open(&r->in, &r->file, err);
    if (status) return status;
    if (r->in.channels < 1 || r->in.channels > SOUND_CHANNELS)
        return fail(err, PCV_DATA, "%s: %d channels, expected 1 to %d", path, r->in.channels, SOUND_CHANNELS);
    if (r->in.rate < SOUND_RATE_LEAST || r->in.rate > SOUND_RATE_MOST)
        return fail(err, PCV_DATA, "%s: %d samples a second, expected %d to %d", path, r->in.rate, SOUND_RATE_LEAST,
                    SOUND_RATE_MOST);
    return 0;
}

static int open_resampler(reader *r, int64_t rate, pcv_error *err) {
    soxr_error_t reason;
    soxr_runtime_spec_t one_thread = soxr_runtime_spec(1);
    if (r->in.rate == rate) return 0;
    r->resampler = soxr_create(r->in.rate, (double)rate, 1, &reason, NULL, NULL, &one_thread);
    if (r->resampler) return 0;
    return fail(err, PCV_MEMORY, "%s: cannot resample from %d to %lld samples a second: %s", r->file.path,
                r->in.rate, (long long)rate, reason);
}

static int append(sound *s, const reader *r, const float *samples, size_t count, pcv_error *err) {
    size_t most = (size_t)s->rate * 3600 * SOUND_HOURS;
    if (count > most - s->count)
        return fail(err, PCV_DATA, "%s: more than %d hours of sound, the most that is read; cut it into pieces",
                    r->file.path, SOUND_HOURS);
    if (s->count + count > s->capacity) {
        size_t capacity = s->count + count + s->capacity / 2 + PIECE;
        int status = mem_resize(&s->samples, capacity * sizeof *s->samples, "a sound", err);
        if (status) return status;
        s->capacity = capacity;
    }
    if (count) memcpy(s->samples + s->count, samples, count * sizeof *samples);
    s->count += count;
    return 0;
}

/* samples NULL: the end. */
static int resample(sound *s, reader *r, const float *samples, size_t count, pcv_error *err) {
    if (!r->resampler) return append(s, r, samples, count, err);
    for (size_t used, made = 1; samples ? count > 0 : made > 0;) {
        soxr_error_t reason = soxr_process(r->resampler, samples, count, &used, r->out, PIECE, &made);
        if (reason) return fail(err, PCV_MEMORY, "%s: cannot resample: %s", r->file.path, reason);
        int status = append(s, r, r->out, made, err);
        if (status) return status;
        if (!samples) continue;
        count -= used;
        samples += used;
    }
    return 0;
}

/* The mean of the channels in place. */
static int mix(const reader *r, size_t frames, pcv_error *err) {
    int channels = r->in.channels;
    for (size_t i = 0; i < frames; i++) {
        double sum = 0;
        for (int c = 0; c < channels; c++) sum += (double)r->piece[i * (size_t)channels + (size_t)c];
        if (!isfinite(sum))
            return fail(err, PCV_DATA, "%s: sample %lld is not a number", r->file.path,
                        (long long)r->frames + (long long)i);
        sum /= channels;
        r->piece[i] = (float)(sum < -1 ? -1 : sum > 1 ? 1 : sum);
    }
    return 0;
}

/* got: of the last read, 0 or -1. */
static int check_end(const reader *r, int64_t got, pcv_error *err) {
    if (got < 0) return fail(err, PCV_DATA, "%s: damaged behind sample %lld", r->file.path, (long long)r->frames);
    if (r->frames < r->in.frames)
        return fail(err, PCV_DATA, "%s: ends after %lld of %lld samples: the file is truncated", r->file.path,
                    (long long)r->frames, (long long)r->in.frames);
    return r->frames ? 0 : fail(err, PCV_DATA, "%s: no samples", r->file.path);
}

static int read_all(sound *s, reader *r, const char *path, pcv_error *err) {
    int64_t got;
    int status = 0;
    TRY(open_file(r, path, err));
    TRY(open_resampler(r, s->rate, err));
    TRY(mem_get(&r->piece, (size_t)(PIECE * r->in.channels) * sizeof *r->piece, "a piece of sound", err));
    TRY(mem_get(&r->out, PIECE * sizeof *r->out, "a piece of sound", err));
    for (; (got = r->in.read(&r->in, r->piece, PIECE)) > 0; r->frames += got) {
        TRY(mix(r, (size_t)got, err));
        TRY(resample(s, r, r->piece, (size_t)got, err));
    }
    TRY(check_end(r, got, err));
    if (r->resampler) TRY(resample(s, r, NULL, 0, err));
    if (!s->count)
        return fail(err, PCV_DATA, "%s: too short for %lld samples a second: %lld of %d a second", path,
                    (long long)s->rate, (long long)r->frames, r->in.rate);
    if (r->in.is_flac && !flac_is_intact(&r->file))
        fail(err, PCV_OK, "%s: not the samples that were encoded: their MD5 is not the header's", path);
out:
    return status;
}

int sound_read(sound *s, const char *path, int64_t rate, pcv_error *err) {
    reader r = {.file = {.fd = -1}};
    *s = (sound){.rate = rate};
    int status = read_all(s, &r, path, err);
    if (r.in.close) r.in.close(&r.in);
    if (r.resampler) soxr_delete(r.resampler);
    file_close(&r.file);
    mem_free(r.piece);
    mem_free(r.out);
    if (status) sound_free(s);
    return status;
}

void sound_free(sound *s) {
    mem_free(s->samples);
    *s = (sound){0};
}

/* ------------------------------------------------------------------ writing */

enum { HEADER = 44 };

static void put(unsigned char *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) at[i] = (unsigned char)(value >> 8 * i);
}

static void make_header(unsigned char header[HEADER], uint64_t bytes, uint64_t rate) {
    memcpy(header, "RIFF....WAVEfmt ", 16);
    put(header + 4, HEADER - 8 + bytes, 4);
    put(header + 16, 16, 4); /* bytes of the format */
    put(header + 20, 1, 2);  /* PCM */
    put(header + 22, 1, 2);  /* channels */
    put(header + 24, rate, 4);
    put(header + 28, 2 * rate, 4); /* bytes a second */
    put(header + 32, 2, 2);        /* bytes of a frame */
    put(header + 34, 16, 2);       /* bits of a sample */
    memcpy(header + 36, "data", 4);
    put(header + 40, bytes, 4);
}

static int16_t to_int16(float x) {
    float scaled = 32768 * x;
    if (!(scaled > -32768)) return x == x ? -32768 : 0;
    return (int16_t)(scaled >= 32767 ? 32767 : lrintf(scaled));
}

static int write_wav(const char *path, const float *samples, size_t count, int64_t rate, pcv_error *err) {
    unsigned char header[HEADER], bytes[2 * 4096];
    file_writer w = {.fd = -1};
    int status = 0;
    if (count > (UINT32_MAX - HEADER) / 2)
        return fail(err, PCV_DATA, "%s: %zu samples do not fit into a WAV file", path, count);
    make_header(header, 2 * (uint64_t)count, (uint64_t)rate);
    TRY(file_create(&w, path, err));
    TRY(file_append(&w, header, HEADER, err));
    for (size_t at = 0; at < count;) {
        size_t n = count - at < sizeof bytes / 2 ? count - at : sizeof bytes / 2;
        for (size_t i = 0; i < n; i++) put(bytes + 2 * i, (uint16_t)to_int16(samples[at + i]), 2);
        TRY(file_append(&w, bytes, 2 * n, err));
        at += n;
    }
    TRY(file_commit(&w, err));
out:
    file_abandon(&w);
    return status;
}

static int write_encoded(const char *path, const char *ending, const float *samples, size_t count, int64_t rate,
                         pcv_error *err) {
    file_bytes file = {0};
    int16_t *rounded = NULL;
    int status = 0;
    TRY(mem_get(&rounded, (count + 1) * sizeof *rounded, "a sound", err));
    for (size_t i = 0; i < count; i++) rounded[i] = to_int16(samples[i]);
    TRY(sound_encode(&file, ending, rounded, count, rate, path, err));
    TRY(file_write(path, file.data, file.size, err));
out:
    mem_free(rounded);
    file_bytes_free(&file);
    return status;
}

static int choose_format(const char *path, int64_t rate, const char **ending, pcv_error *err) {
    const char *endings[SOUND_FORMATS + 1];
    int which, status;
    sound_formats(rate, endings);
    status = path_format(path, endings, &which, err);
    if (!status) *ending = endings[which];
    return status;
}

int sound_check(const char *path, int64_t rate, pcv_error *err) {
    const char *ending;
    return choose_format(path, rate, &ending, err);
}

int sound_write(const char *path, const float *samples, size_t count, int64_t rate, pcv_error *err) {
    const char *ending;
    int status = choose_format(path, rate, &ending, err);
    if (status) return status;
    if (!strcmp(ending, ".wav")) return write_wav(path, samples, count, rate, err);
    return write_encoded(path, ending, samples, count, rate, err);
}
