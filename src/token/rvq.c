/* Sound as codes that are learned from the user's files: a few for each frame of a modified cosine transform.
 *
 * A frame's first code names its envelope: the power of each of some twenty bands, and the loudness of the whole. The
 * envelope evens the spectrum out, in part (SLOPE), and gives every frame the same size; what comes out is coded by
 * residual vector quantization, each code adding an entry of its codebook. So the codes that matter most come first,
 * and a frame with some of them missing is a coarser frame. Where the codes leave a band emptier than its envelope
 * says, the decoder adds noise: not nearer to the sound, but nearer to how it sounds.
 *
 * A document is frame after frame, the codes of each in order. */
#include "token/rvq.h"
#include "base/available.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "base/watch.h"
#include "config/run_files.h"
#include "media/mdct.h"
#include "token/quantizer.h"
#include "token/sound_tokens.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    BANDS = 20,
    NARROWEST = 4,       /* of a band, in numbers of the transform */
    SHIFTS = 8,          /* frames to learn from begin at every eighth of a frame */
    ROWS = 1 << 16,      /* and are so many at most */
    ROW_FLOATS = 1 << 25, /* or fewer, if they are long */
    LISTEN_HOURS = 4,    /* of sound to learn from at most */
    PIECE = 1 << 22,     /* floats of frames that are coded at once */
    BOOK_FLOATS = 1 << 28,
};

static const double SLOPE = 0.75;   /* powers p become p^SLOPE; 1: the least squared error, 0: all bands alike */
static const double LOUDNESS = 8;   /* how much an error of the loudness counts against one of a band */
static const double SILENCE = 1e-9; /* power of the least sound: -90 dB */

typedef struct codec {
    mdct m;
    int64_t size; /* of a frame */
    int64_t bands, edge[BANDS + 1];
    quantizer envelope; /* one stage of [bands + 1]: binary logarithms of powers, and the loudness */
    quantizer shape;    /* the other codes */
    float mean[BANDS + 1]; /* of the envelopes */
    float *unit;           /* [codebooks]: what makes the mean squared length of a codebook's vectors 1 */
} codec;

static codec *codec_of(const tokenizer *t) { return t->state; }

double rvq_kilobits(const token_config *c) {
    return (double)c->codebooks * log2((double)c->codes) * (double)c->rate / (double)c->frame / 1000;
}

/* ------------------------------------------------------------------ opening */

/* Bands are equally wide on the mel scale, but none is narrower than NARROWEST. */
static void make_bands(codec *c, double rate) {
    double top = log1p(rate / 2 / 700);
    for (int b = 1; b <= BANDS; b++) {
        int64_t edge = llround(700 * expm1(top * b / BANDS) / (rate / 2) * (double)c->size);
        if (edge - c->edge[c->bands] >= NARROWEST) c->edge[++c->bands] = edge;
    }
    c->edge[c->bands] = c->size;
}

static int64_t width_of(const codec *c, int64_t band) { return c->edge[band + 1] - c->edge[band]; }

static int check_config(const token_config *o, pcv_error *err) {
    long long K = o->codebooks, codes = o->codes, frame = o->frame;
    if (frame % 2) return fail(err, PCV_CONFIG, "--frame %lld: expected an even number of samples", frame);
    if (codes % 2) return fail(err, PCV_CONFIG, "--codes %lld: expected an even number, for they come in pairs", codes);
    if (K * codes / 2 * frame > BOOK_FLOATS)
        return fail(err, PCV_CONFIG, "--codebooks %lld, --codes %lld and --frame %lld take %lld MiB, at most 1024; "
                    "lower one of them", K, codes, frame, (K * codes / 2 * frame) >> 18);
    return 0;
}

static int open_rvq(tokenizer *t, pcv_error *err) {
    const token_config *o = &t->config;
    codec *c;
    int status = 0;
    TRY(check_config(o, err));
    TRY(mem_get(&c, sizeof *c, "a codec", err));
    t->state = c;
    t->pad = 0, t->end = 1, t->start = 2, t->first = 3;
    t->vocab = t->first + o->codebooks * o->codes;
    t->axes = 1;
    t->axis_rows[0] = o->codebooks + 1;
    t->period = o->codebooks;
    t->second = (double)(o->codebooks * o->rate) / (double)o->frame;
    c->size = o->frame;
    make_bands(c, (double)o->rate);
    TRY(mdct_open(&c->m, (int)c->size, err));
    TRY(quantizer_open(&c->envelope, c->bands + 1, 1, o->codes, false, err));
    TRY(quantizer_open(&c->shape, c->size, o->codebooks - 1, o->codes, true, err));
    TRY(mem_get(&c->unit, (size_t)o->codebooks * sizeof *c->unit, "a codec", err));
    t->vector_size = c->envelope.dims + c->shape.dims;
out:
    return status;
}

static void close_rvq(tokenizer *t) {
    codec *c = codec_of(t);
    if (!c) return;
    mdct_close(&c->m);
    quantizer_close(&c->envelope);
    quantizer_close(&c->shape);
    mem_free(c->unit);
    mem_free(c);
}

/* ------------------------------------------------------------------ frames and envelopes */

/* x [size] from samples [from, from + 2 size); around the sound there is silence. */
static void analyse(const codec *c, const float *samples, int64_t count, int64_t from, float *x) {
    float window[2 * MDCT_MOST];
    for (int64_t i = 0; i < 2 * c->size; i++)
        window[i] = from + i >= 0 && from + i < count ? samples[from + i] : 0;
    mdct_analyse(&c->m, window, x);
}

static double power_of(const codec *c, const float *x, int64_t band) {
    double sum = 0;
    for (int64_t i = c->edge[band]; i < c->edge[band + 1]; i++) sum += (double)x[i] * (double)x[i];
    return sum / (double)width_of(c, band);
}

/* envelope [bands + 1] of x [size] */
static void measure(const codec *c, const float *x, float *envelope) {
    double sum = 0;
    for (int64_t b = 0; b < c->bands; b++) {
        envelope[b] = (float)log2(power_of(c, x, b) + SILENCE);
        sum += (double)width_of(c, b) * exp2(SLOPE * (double)envelope[b]);
    }
    envelope[c->bands] = (float)(LOUDNESS * log2(sum / (double)c->size));
}

/* x becomes even, or what was even becomes x. */
static void even_out(const codec *c, const float *envelope, bool back, float *x) {
    for (int64_t b = 0; b < c->bands; b++) {
        double power = (SLOPE - 1) * (double)envelope[b] - (double)envelope[c->bands] / LOUDNESS;
        float factor = (float)exp2(back ? -power / 2 : power / 2);
        for (int64_t i = c->edge[b]; i < c->edge[b + 1]; i++) x[i] *= factor;
    }
}

/* Noise where the codes say little: half of a band's missing power, times the fourth power of the part that is
 * missing, and never more than a twentieth of the frame's mean power. */
static void fill(const codec *c, const float *envelope, int64_t frame, float *x) {
    rng r = rng_make(0, RNG_NOISE, (uint32_t)frame);
    double mean = 0;
    for (int64_t b = 0; b < c->bands; b++)
        mean += exp2((double)envelope[b]) * (double)width_of(c, b) / (double)c->size;
    for (int64_t b = 0; b < c->bands; b++) {
        double wanted = exp2((double)envelope[b]), missing = fmax(0, 1 - power_of(c, x, b) / wanted);
        float size = (float)sqrt(fmin(wanted * pow(missing, 4) / 2, mean / 20));
        for (int64_t i = c->edge[b]; i < c->edge[b + 1]; i++) x[i] += rng_u32(&r) & 1 ? size : -size;
    }
}

/* ------------------------------------------------------------------ sound to codes */

/* x [n, size] -> code [n, codebooks]; x is lost. */
static int encode_frames(const codec *c, float *x, int64_t n, int32_t *code, pcv_error *err) {
    int64_t rest = c->shape.stages, K = rest + 1, dims = c->envelope.dims;
    float *envelope = NULL;
    int32_t *first = NULL, *others = NULL;
    int status = 0;
    TRY(mem_get(&envelope, (size_t)(n * dims) * sizeof *envelope, "envelopes", err));
    TRY(mem_get(&first, (size_t)n * sizeof *first, "codes", err));
    TRY(mem_get(&others, (size_t)(n * rest) * sizeof *others, "codes", err));
    for (int64_t t = 0; t < n; t++) measure(c, x + t * c->size, envelope + t * dims);
    TRY(quantizer_encode(&c->envelope, envelope, n, first, err));
    for (int64_t t = 0; t < n; t++) {
        quantizer_decode(&c->envelope, first + t, envelope);
        even_out(c, envelope, false, x + t * c->size);
    }
    TRY(quantizer_encode(&c->shape, x, n, others, err));
    for (int64_t t = 0; t < n; t++) {
        code[t * K] = first[t];
        for (int64_t k = 0; k < rest; k++) code[t * K + 1 + k] = others[t * rest + k];
    }
out:
    mem_free(envelope);
    mem_free(first);
    mem_free(others);
    return status;
}

/* Frame t covers samples [(t - 1) size, (t + 1) size), so that each sample lies in two. */
static int encode(const tokenizer *t, const sound *s, id_list *ids, pcv_error *err) {
    const codec *c = codec_of(t);
    int64_t K = t->config.codebooks, count = (int64_t)s->count, frames = (count + c->size - 1) / c->size + 1;
    int64_t piece = PIECE / c->size < frames ? PIECE / c->size : frames;
    float *x = NULL;
    int32_t *code = NULL;
    int status = 0;
    TRY(mem_get(&x, (size_t)(piece * c->size) * sizeof *x, "frames", err));
    TRY(mem_get(&code, (size_t)(piece * K) * sizeof *code, "codes", err));
    for (int64_t from = 0; from < frames; from += piece) {
        int64_t n = frames - from < piece ? frames - from : piece;
#pragma omp parallel for num_threads(threads_here()) schedule(static)
        for (int64_t i = 0; i < n; i++) analyse(c, s->samples, count, (from + i - 1) * c->size, x + i * c->size);
        TRY(encode_frames(c, x, n, code, err));
        for (int64_t i = 0; i < n * K; i++) code[i] += t->first + (int32_t)(i % K * t->config.codes);
        TRY(id_list_add(ids, code, (size_t)(n * K), err));
    }
out:
    mem_free(x);
    mem_free(code);
    return status;
}

static int read_sound(const tokenizer *t, const char *path, sound *s, pcv_error *err) {
    int status = sound_read(s, path, t->config.rate, err);
    if (!status && s->count < (size_t)t->config.frame)
        status = fail(err, PCV_DATA, "%s: too short for a frame of %lld samples: %zu", path,
                      (long long)t->config.frame, s->count);
    return status;
}

static int read_rvq(const tokenizer *t, const char *path, id_list *ids, pcv_error *err) {
    sound s;
    int status = read_sound(t, path, &s, err);
    if (!status) status = encode(t, &s, ids, err);
    sound_free(&s);
    return status;
}

static int check_rvq(const tokenizer *t, const char *path, pcv_error *err) {
    sound s;
    int status = read_sound(t, path, &s, err);
    sound_free(&s);
    return status;
}

/* ------------------------------------------------------------------ codes to sound */

/* The codes of the next frame, -1 where there is none or one of another codebook. Returns how many ids that took. */
static size_t next_frame(const tokenizer *t, const int32_t *ids, size_t count, int32_t *code) {
    int64_t K = t->config.codebooks, codes = t->config.codes, k = 0;
    size_t at = 0;
    for (int64_t i = 0; i < K; i++) code[i] = -1;
    for (; at < count && k < K; at++) {
        int64_t value = ids[at] - t->first;
        if (value < 0 || ids[at] >= t->vocab) continue;
        if (value / codes == k) code[k] = (int32_t)(value % codes);
        k++;
    }
    return at;
}

static void decode_frame(const codec *c, const int32_t *code, int64_t frame, float *x, float *out) {
    float envelope[BANDS + 1];
    if (code[0] < 0) return;
    quantizer_decode(&c->envelope, code, envelope);
    quantizer_decode(&c->shape, code + 1, x);
    even_out(c, envelope, true, x);
    fill(c, envelope, frame, x);
    mdct_overlap_add(&c->m, x, out);
}

/* Of the frames' samples, the first `size` lie in front of the sound, and the last behind it. */
static int decode(const tokenizer *t, const int32_t *ids, size_t count, sound *s, pcv_error *err) {
    const codec *c = codec_of(t);
    size_t size = (size_t)c->size, frames = count / (size_t)t->config.codebooks + 1;
    float *x = NULL;
    int32_t *code = NULL;
    int64_t frame = 0;
    int status = 0;
    TRY(mem_get(&s->samples, (frames + 1) * size * sizeof *s->samples, "a sound", err));
    TRY(mem_get(&x, size * sizeof *x, "a frame", err));
    TRY(mem_get(&code, (size_t)t->config.codebooks * sizeof *code, "a frame", err));
    for (size_t at = 0; at < count;) {
        at += next_frame(t, ids + at, count - at, code);
        if (code[0] < 0 && at == count) break; /* nothing but ids that are no codes */
        decode_frame(c, code, frame, x, s->samples + (size_t)frame * size);
        frame++;
    }
    s->count = frame ? ((size_t)frame - 1) * size : 0;
    memmove(s->samples, s->samples + size, s->count * sizeof *s->samples);
out:
    mem_free(x);
    mem_free(code);
    return status;
}

static int write_rvq(const tokenizer *t, const int32_t *ids, size_t count, const char *path, pcv_error *err) {
    return sound_tokens_write(decode, t, ids, count, path, err);
}

static int draw_rvq(const tokenizer *t, const int32_t *ids, size_t count, const char *path, pcv_error *err) {
    return sound_tokens_draw(decode, t, ids, count, path, err);
}

/* ------------------------------------------------------------------ sampling and positions */

static void mask_rvq(const tokenizer *t, const int32_t *ids, size_t count, float *logits) {
    int64_t k = count ? (int64_t)(count - 1) % t->config.codebooks : 0;
    int64_t from = t->first + k * t->config.codes, to = from + t->config.codes;
    (void)ids;
    for (int64_t id = 0; id < t->vocab; id++)
        if ((id < from || id >= to) && (id != t->end || k)) logits[id] = -INFINITY;
}

static void position_rvq(const tokenizer *t, int64_t index, int32_t *at) {
    at[0] = index < 1 ? 0 : (int32_t)((index - 1) % t->config.codebooks + 1);
}

/* ------------------------------------------------------------------ what codes mean */

/* v [bands + 1 + size]: an envelope, less the mean of all, and behind it a shape; one of the two is zero. */
static void place(const codec *c, int64_t book, int32_t code, float *v) {
    int64_t dims = c->envelope.dims;
    memset(v, 0, (size_t)(dims + c->size) * sizeof *v);
    if (book) {
        quantizer_vector(&c->shape, book - 1, code, v + dims);
        return;
    }
    quantizer_vector(&c->envelope, 0, code, v);
    for (int64_t i = 0; i < dims; i++) v[i] -= c->mean[i];
}

static void measure_books(codec *c) {
    float v[BANDS + 1 + MDCT_MOST];
    int64_t dims = c->envelope.dims, codes = c->envelope.codes, all = dims + c->size;
    double mean[BANDS + 1] = {0};
    for (int32_t code = 0; code < codes; code++) {
        quantizer_vector(&c->envelope, 0, code, v);
        for (int64_t i = 0; i < dims; i++) mean[i] += (double)v[i] / (double)codes;
    }
    for (int64_t i = 0; i < dims; i++) c->mean[i] = (float)mean[i];
    for (int64_t book = 0; book <= c->shape.stages; book++) {
        double sum = 0;
        for (int32_t code = 0; code < codes; code++) {
            place(c, book, code, v);
            for (int64_t i = 0; i < all; i++) sum += (double)v[i] * (double)v[i];
        }
        c->unit[book] = sum > 0 ? (float)sqrt((double)codes / sum) : 0;
    }
}

static void vector_rvq(const tokenizer *t, int32_t id, float *v) {
    const codec *c = codec_of(t);
    int64_t value = id - t->first, book = value / t->config.codes;
    memset(v, 0, (size_t)t->vector_size * sizeof *v);
    if (value < 0) return;
    place(c, book, (int32_t)(value % t->config.codes), v);
    for (int64_t i = 0; i < t->vector_size; i++) v[i] *= c->unit[book];
}

/* ------------------------------------------------------------------ learning */

/* Frames in random order, every frame of all files equally likely (Vitter 1985, algorithm R). */
typedef struct listener {
    const codec *c;
    float *x; /* [room, size] */
    int64_t room, rows;
    uint64_t seen;
    rng random;
} listener;

static void listen(listener *l, const sound *s) {
    int64_t size = l->c->size, count = (int64_t)s->count, step = size / SHIFTS;
    for (int64_t from = step - size; from < count; from += step) {
        int64_t at = (int64_t)rng_below(&l->random, ++l->seen);
        if (at >= l->room) continue;
        if (l->rows < l->room && at < l->rows)
            memcpy(l->x + l->rows * size, l->x + at * size, (size_t)size * sizeof *l->x);
        if (l->rows < l->room) l->rows++;
        analyse(l->c, s->samples, count, from, l->x + at * size);
    }
}

static int listen_to_files(listener *l, const tokenizer *t, const char *const *paths, size_t count,
                           quantizer_work *work, pcv_error *err) {
    uint64_t most = (uint64_t)LISTEN_HOURS * 3600 * (uint64_t)t->config.rate / (uint64_t)(l->c->size / SHIFTS);
    size_t *order = NULL;
    pcv_error reason = {.message = "there are none"};
    int status = mem_get(&order, count * sizeof *order, "the file list", err);
    for (size_t i = 0; i < count && !status; i++) { /* a shuffle from the inside out */
        size_t k = (size_t)rng_below(&l->random, i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    for (size_t i = 0; i < count && l->seen < most && !status; i++) {
        sound s;
        int failed = sound_read(&s, paths[order[i]], t->config.rate, &reason);
        if (failed == PCV_MEMORY) status = fail(err, PCV_MEMORY, "%s", reason.message);
        if (!failed) listen(l, &s);
        if (!failed) sound_free(&s);
        if (!status) status = quantizer_step(work, err);
    }
    mem_free(order);
    if (!status && !l->rows)
        status = fail(err, PCV_DATA, "none of the files to learn from could be read: %s", reason.message);
    return status;
}

/* x [rows, size] is lost. */
static int learn(codec *c, float *x, int64_t rows, rng *random, quantizer_work *work, pcv_error *err) {
    int64_t dims = c->envelope.dims;
    float *envelope = NULL, *left = NULL;
    int32_t *code = NULL;
    int status = 0;
    TRY(mem_get(&envelope, (size_t)(rows * dims) * sizeof *envelope, "envelopes", err));
    TRY(mem_get(&left, (size_t)(rows * dims) * sizeof *left, "envelopes", err));
    TRY(mem_get(&code, (size_t)rows * sizeof *code, "codes", err));
    for (int64_t r = 0; r < rows; r++) measure(c, x + r * c->size, envelope + r * dims);
    memcpy(left, envelope, (size_t)(rows * dims) * sizeof *left);
    TRY(quantizer_train(&c->envelope, left, rows, random, work, err));
    TRY(quantizer_encode(&c->envelope, envelope, rows, code, err));
    for (int64_t r = 0; r < rows; r++) {
        quantizer_decode(&c->envelope, code + r, envelope);
        even_out(c, envelope, false, x + r * c->size);
    }
    TRY(quantizer_train(&c->shape, x, rows, random, work, err));
    measure_books(c);
out:
    mem_free(envelope);
    mem_free(left);
    mem_free(code);
    return status;
}

static int train_rvq(tokenizer *t, const char *const *paths, size_t count, uint64_t seed, const pcv_watch *watch,
                     pcv_error *err) {
    codec *c = codec_of(t);
    listener l = {.c = c, .room = ROW_FLOATS / c->size < ROWS ? ROW_FLOATS / c->size : ROWS};
    double steps = quantizer_steps(&c->envelope) + quantizer_steps(&c->shape);
    quantizer_work work = {.watch = watch, .stage = "listening", .start = clock_now(), .total = (double)count};
    int status = 0;
    l.random = rng_make(seed, RNG_CODEC, 0);
    TRY(mem_get(&l.x, (size_t)(l.room * c->size) * sizeof *l.x, "frames to learn from", err));
    TRY(listen_to_files(&l, t, paths, count, &work, err));
    work = (quantizer_work){.watch = watch, .stage = "learning codebooks", .start = clock_now(), .total = steps};
    TRY(learn(c, l.x, l.rows, &l.random, &work, err));
    watch_say(watch, "learned %lld codebooks of %lld codes: %.2f kbit/s, %.0f tokens a second",
              (long long)t->config.codebooks, (long long)t->config.codes, rvq_kilobits(&t->config), t->second);
out:
    mem_free(l.x);
    return status;
}

/* ------------------------------------------------------------------ codebooks in a file */

static int save_rvq(const tokenizer *t, const char *folder, pcv_error *err) {
    const codec *c = codec_of(t);
    const quantizer *e = &c->envelope, *s = &c->shape;
    char path[PATH_SIZE];
    const safetensors_plan plans[] = {
        {.name = "codebooks", .type = "F32", .rank = 2, .shape = {s->stages * s->entries, s->dims}, .data = s->entry},
        {.name = "envelopes", .type = "F32", .rank = 2, .shape = {e->entries, e->dims}, .data = e->entry},
    };
    const safetensors_writer writer = {.plans = plans, .count = sizeof plans / sizeof *plans};
    int status = path_own(path, folder, RUN_CODEC, err);
    return status ? status : safetensors_save(&writer, path, NULL, NULL, err);
}

static void meaning_rvq(const tokenizer *t, text *out) {
    const codec *c = codec_of(t);
    const quantizer *books[] = {&c->envelope, &c->shape};
    text_add(out, "%lld %lld ", (long long)t->config.rate, (long long)t->config.frame);
    for (int i = 0; i < 2; i++) {
        int64_t rows = books[i]->stages * books[i]->entries;
        text_add(out, "%lld %lld ", (long long)rows, (long long)books[i]->dims);
        text_bytes(out, books[i]->entry, (size_t)(rows * books[i]->dims) * sizeof *books[i]->entry);
    }
}

static int load_book(const safetensors *file, const char *name, quantizer *q, pcv_error *err) {
    const safetensors_entry *e = safetensors_find(file, name);
    int64_t rows = q->stages * q->entries;
    if (!e) return fail(err, PCV_DATA, "%s: no tensor '%s'", file->path, name);
    if (strcmp(e->type, "F32") || e->rank != 2 || e->shape[0] != rows || e->shape[1] != q->dims)
        return fail(err, PCV_DATA, "%s: tensor '%s' does not fit tokenizer.json, expected F32 [%lld, %lld]", file->path,
                    name, (long long)rows, (long long)q->dims);
    int status = safetensors_load(file, e, q->entry, err);
    for (int64_t i = 0; i < rows * q->dims && !status; i++)
        if (!isfinite(q->entry[i]))
            status = fail(err, PCV_DATA, "%s: tensor '%s': element %lld is not a finite number", file->path, name,
                          (long long)i);
    return status;
}

static int load_rvq(tokenizer *t, const char *folder, pcv_error *err) {
    codec *c = codec_of(t);
    safetensors file = {.fd = -1};
    char path[PATH_SIZE];
    int status = 0;
    TRY(path_join(path, folder, RUN_CODEC, err));
    TRY(safetensors_open(&file, path, err));
    TRY(load_book(&file, "envelopes", &c->envelope, err));
    TRY(load_book(&file, "codebooks", &c->shape, err));
    measure_books(c);
out:
    safetensors_close(&file);
    return status;
}

static const char *const keys[] = {"rate", "frame", "codebooks", "codes", NULL};

const token_type token_rvq = {
    .name = "rvq",
    .help = "codes of short frames, from codebooks learned from the files to train on",
    .kind = "audio",
    .unit = "code",
    .extension = ".wav",
    .keys = keys,
    .open = open_rvq,
    .close = close_rvq,
    .read = read_rvq,
    .check = check_rvq,
    .write = write_rvq,
    .check_name = sound_tokens_check,
    .draw = draw_rvq,
    .mask = mask_rvq,
    .position = position_rvq,
    .vector = vector_rvq,
    .train = train_rvq,
    .save = save_rvq,
    .load = load_rvq,
    .meaning = meaning_rvq,
};
