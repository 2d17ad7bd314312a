/* Sound: the transforms against their formulas, spectrograms and distances, mu-law, and the codec that is learned from
 * files. Every sound is made here. */
#include "scratch.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/safetensors.h"
#include "config/run_files.h"
#include "media/mdct.h"
#include "media/sound_file.h"
#include "media/spectrogram.h"
#include "token/quantizer.h"
#include "token/rvq.h"
#include "token/scale.h"
#include "token/token.h"

#include <omp.h>
#include <png.h>
#include <sndfile.h>
#include <sys/stat.h>

/* Whether the disk has what is written here is not the question. */
int fsync(int fd) { return fd < 0 ? -1 : 0; }

static float noise(rng *r) { return (float)(2 * rng_uniform(r) - 1); }

enum { RATE = 16000 };

/* ------------------------------------------------------------------ transforms */

static void fourier_formula(void **state) {
    (void)state;
    static const int sizes[] = {1, 2, 3, 4, 7, 12, 97, 160, 343};
    rng r = rng_make(2, RNG_TEST, 0);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        int n = sizes[i];
        fourier f;
        complex_float in[343], out[343];
        must(fourier_open(&f, n, &err));
        for (int k = 0; k < n; k++) in[k] = (complex_float){noise(&r), noise(&r)};
        fourier_run(&f, in, out);
        for (int k = 0; k < n; k++) {
            double re = 0, im = 0;
            for (int j = 0; j < n; j++) {
                double angle = -2 * M_PI * (j * k % n) / n;
                re += (double)in[j].re * cos(angle) - (double)in[j].im * sin(angle);
                im += (double)in[j].re * sin(angle) + (double)in[j].im * cos(angle);
            }
            close_to((double)out[k].re, re, 2e-5, "real part");
            close_to((double)out[k].im, im, 2e-5, "imaginary part");
        }
        fourier_close(&f);
    }
}

static void mdct_formula(void **state) {
    (void)state;
    enum { N = 18 };
    mdct m;
    float in[2 * N], out[N];
    rng r = rng_make(3, RNG_TEST, 0);
    must(mdct_open(&m, N, &err));
    for (int i = 0; i < 2 * N; i++) in[i] = noise(&r);
    mdct_analyse(&m, in, out);
    for (int k = 0; k < N; k++) {
        double sum = 0;
        for (int i = 0; i < 2 * N; i++)
            sum += sqrt(2.0 / N) * sin(M_PI * (i + 0.5) / (2 * N)) * (double)in[i] *
                   cos(M_PI / N * (i + 0.5 + N / 2.0) * (k + 0.5));
        close_to((double)out[k], sum, 2e-6, "a number of the transform");
    }
    mdct_close(&m);
}

static void mdct_gives_back(void **state) {
    (void)state;
    static const int sizes[] = {2, 16, 34, 320, 1002, MDCT_MOST};
    static float x[8 * MDCT_MOST], y[8 * MDCT_MOST], c[MDCT_MOST];
    rng r = rng_make(4, RNG_TEST, 0);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        int n = sizes[i];
        double before = 0, after = 0, worst = 0;
        mdct m;
        must(mdct_open(&m, n, &err));
        memset(y, 0, sizeof y);
        for (int k = 0; k < 8 * n; k++) x[k] = k < n || k >= 7 * n ? 0 : noise(&r);
        for (int t = 0; t < 7; t++) {
            mdct_analyse(&m, x + t * n, c);
            for (int k = 0; k < n; k++) after += (double)c[k] * (double)c[k];
            mdct_overlap_add(&m, c, y + t * n);
        }
        for (int k = 0; k < 8 * n; k++) before += (double)x[k] * (double)x[k];
        for (int k = 0; k < 8 * n; k++) worst = fmax(worst, fabs((double)x[k] - (double)y[k]));
        if (!(worst < 1e-5)) test_failed("frames of %d: a sample is off by %g\n", n, worst);
        close_to(after / before, 1, 1e-5, "energy");
        mdct_close(&m);
    }
}

/* ------------------------------------------------------------------ spectrograms and distances */

static void spectrogram_of_a_tone(void **state) {
    (void)state;
    static float x[3 * RATE];
    png_image image = {.version = PNG_IMAGE_VERSION};
    for (int i = 0; i < 3 * RATE; i++) x[i] = (float)sin(2 * M_PI * 4000 * i / RATE);
    must(spectrogram_draw(at("tone.png"), x, 3 * RATE, &err));
    assert_true(png_image_begin_read_from_file(&image, at("tone.png")));
    assert_true(image.width == 3 * RATE / 128 && image.height == SPECTRUM_BINS);
    image.format = PNG_FORMAT_GRAY;
    unsigned char *grey = malloc(PNG_IMAGE_SIZE(image));
    assert_true(png_image_finish_read(&image, NULL, grey, 0, NULL));
    for (unsigned c = 2; c < image.width - 8; c++)
        for (int row = 0; row < SPECTRUM_BINS; row++) {
            int shade = grey[row * (int)image.width + (int)c];
            bool is_tone = abs(row - 128) <= 1; /* 4 kHz of 8 */
            if (is_tone ? shade < 150 : abs(row - 128) > 20 && shade > 20)
                test_failed("row %d of column %u has shade %d\n", row, c, shade);
        }
    free(grey);
    must(spectrogram_draw(at("nothing.png"), x, 0, &err));
    must(spectrogram_draw(at("short.png"), x, 5, &err));
}

static void distances(void **state) {
    (void)state;
    static float x[RATE], y[RATE];
    rng r = rng_make(5, RNG_TEST, 0);
    double d;
    for (int i = 0; i < RATE; i++) x[i] = noise(&r), y[i] = 0.9f * x[i];
    close_to(sound_signal_to_noise(x, y, RATE), 20, 1e-3, "signal to noise");
    assert_true(isinf(sound_signal_to_noise(x, x, RATE)));
    must(sound_spectral_distance(x, x, RATE, &d, &err));
    assert_true(d == 0);
    for (int i = 0; i < RATE; i++) y[i] = 0.5f * x[i];
    must(sound_spectral_distance(x, y, RATE, &d, &err));
    close_to(d, 20 * log10(2), 0.01, "spectral distance of the half");
    must(sound_spectral_distance(x, y, SPECTRUM - 1, &d, &err));
    assert_true(d == 0);
}

/* ------------------------------------------------------------------ mu-law */

static token_config config_of(int64_t rate, int64_t frame, int64_t codebooks, int64_t codes) {
    token_config c = {0};
    fields_default(&token_fields, &c);
    c.rate = rate, c.frame = frame, c.codebooks = codebooks, c.codes = codes;
    return c;
}

static void put_floats(const char *name, const float *x, size_t count, int rate) {
    SF_INFO info = {.samplerate = rate, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    SNDFILE *f = sf_open(at(name), SFM_WRITE, &info);
    assert_non_null(f);
    assert_int_equal(sf_writef_float(f, x, (sf_count_t)count), (sf_count_t)count);
    sf_close(f);
}

static void mulaw_values(void **state) {
    (void)state;
    static const float x[] = {0, 1, -1, 0.5f, -0.5f, 0.01f, -0.01f, 3, -3};
    static const int32_t steps[] = {128, 255, 0, 239, 16, 157, 98, 255, 0};
    token_config c = config_of(8000, 16, 1, 2);
    id_list ids = {0};
    tokenizer t;
    must(tokenizer_open(&t, "mulaw", &c, &err));
    assert_true(t.vocab == 259 && t.pad == 0 && t.end == 1 && t.start == 2 && t.first == 3 && !t.axes && !t.length);
    assert_ptr_equal(tokenizer_of_kind("audio"), &token_mulaw);
    put_floats("values.wav", x, COUNT(x), 8000);
    must(t.type->read(&t, at("values.wav"), &ids, &err));
    assert_int_equal(ids.count, COUNT(x));
    for (size_t i = 0; i < COUNT(x); i++) assert_int_equal(ids.v[i], steps[i] + 3);
    id_list_free(&ids);
    tokenizer_close(&t);
}

static void mulaw_error(void **state) {
    (void)state;
    enum { N = 5000 };
    float x[N];
    int32_t all[256 + 4];
    token_config c = config_of(8000, 16, 1, 2);
    rng r = rng_make(6, RNG_TEST, 0);
    id_list ids = {0};
    tokenizer t;
    sound s;
    for (int i = 0; i < N; i++) x[i] = noise(&r) * (float)exp2(-12 * rng_uniform(&r));
    must(tokenizer_open(&t, "mulaw", &c, &err));
    put_floats("x.wav", x, N, 8000);
    must(t.type->read(&t, at("x.wav"), &ids, &err));
    must(t.type->write(&t, ids.v, ids.count, at("y.wav"), &err));
    must(sound_read(&s, at("y.wav"), 8000, &err));
    assert_int_equal(s.count, N);
    for (int i = 0; i < N; i++) /* half a step: df = df/dx dx, 1/255 = 255 / (ln 256 (1 + 255 |x|)) dx */
        close_to((double)s.samples[i], (double)x[i], log(256) / 255 * (1 / 255.0 + fabs((double)x[i])) * 1.03 + 2e-5,
                 "a sample");
    sound_free(&s);
    ids.count = 0;
    for (int i = 0; i < 256; i++) all[i] = 3 + i;
    all[256] = 0, all[257] = 1, all[258] = -5, all[259] = 100000; /* no sound */
    must(t.type->write(&t, all, COUNT(all), at("all.wav"), &err));
    must(t.type->read(&t, at("all.wav"), &ids, &err));
    assert_int_equal(ids.count, 256);
    assert_memory_equal(ids.v, all, 256 * sizeof *all);
    id_list_free(&ids);
    tokenizer_close(&t);
}

/* ------------------------------------------------------------------ the learned codec */

enum { SONGS = 6, SONG = 16000 };

/* Notes with overtones that fade, at 8,000 samples a second, and a little noise. */
static void make_songs(void) {
    static float x[SONG];
    for (int song = 0; song < SONGS; song++) {
        char name[32];
        rng r = rng_make(7, RNG_TEST, (uint32_t)song);
        double pitch = 0, age = 0;
        for (int i = 0; i < SONG; i++) {
            if (i % 1000 == 0) pitch = 120 * exp2((double)rng_below(&r, 12) / 12), age = 0;
            age += 1 / 8000.0;
            double sum = 0.002 * (double)noise(&r);
            for (int k = 1; k <= 6; k++) sum += 0.3 / k * exp(-4 * k * age) * sin(2 * M_PI * pitch * k * age);
            x[i] = (float)sum;
        }
        snprintf(name, sizeof name, "song%d.wav", song);
        put_floats(name, x, SONG, 8000);
    }
}

static int train(tokenizer *t, uint64_t seed, const pcv_watch *watch, pcv_error *err) {
    char names[SONGS - 1][PATH_SIZE];
    const char *paths[SONGS];
    for (int i = 0; i < SONGS - 1; i++) {
        snprintf(names[i], PATH_SIZE, "%s/song%d.wav", folder, i);
        paths[i] = names[i];
    }
    paths[SONGS - 1] = "/nowhere/at/all.wav"; /* is left out */
    return t->type->train(t, paths, SONGS, seed, watch, err);
}

/* The last song, which nothing is learned from, there and back: in dB. */
static double round_trip(const tokenizer *t, id_list *ids, const char *to) {
    sound x, y;
    ids->count = 0;
    must(t->type->read(t, at("song5.wav"), ids, &err));
    must(t->type->write(t, ids->v, ids->count, at(to), &err));
    must(sound_read(&x, at("song5.wav"), 8000, &err));
    must(sound_read(&y, at(to), 8000, &err));
    assert_true(y.count >= x.count && y.count < x.count + (size_t)t->config.frame);
    double ratio = sound_signal_to_noise(x.samples, y.samples, x.count);
    sound_free(&x);
    sound_free(&y);
    return ratio;
}

static void more_codes_are_better(void **state) {
    (void)state;
    static const int books[] = {1, 2, 4, 8, 16};
    double before = -2;
    make_songs();
    for (size_t i = 0; i < COUNT(books); i++) {
        token_config c = config_of(8000, 64, books[i], 64);
        tokenizer t;
        id_list ids = {0};
        must(tokenizer_open(&t, "rvq", &c, &err));
        assert_int_equal(t.vocab, 3 + 64 * books[i]);
        close_to(rvq_kilobits(&c), books[i] * 6 * 0.125, 1e-9, "kbit/s");
        must(train(&t, 1, NULL, &err));
        double ratio = round_trip(&t, &ids, "back.wav");
        if (!(ratio > before + 0.5)) test_failed("%d codebooks: %.2f dB, before %.2f dB\n", books[i], ratio, before);
        before = ratio;
        assert_int_equal(ids.count, (SONG / 64 + 1) * books[i]);
        for (size_t k = 0; k < ids.count; k++) {
            int32_t from = 3 + 64 * (int32_t)(k % (size_t)books[i]);
            assert_in_range(ids.v[k], from, from + 63);
        }
        id_list_free(&ids);
        tokenizer_close(&t);
    }
    if (!(before > 8)) test_failed("16 codebooks give %.2f dB\n", before);
}

static void code_of_what_was_coded(void **state) {
    (void)state;
    token_config c = config_of(8000, 64, 8, 64);
    tokenizer t;
    id_list once = {0}, twice = {0};
    sound x, y;
    must(tokenizer_open(&t, "rvq", &c, &err));
    must(train(&t, 1, NULL, &err));
    double ratio = round_trip(&t, &once, "once.wav");
    must(t.type->read(&t, at("once.wav"), &twice, &err));
    assert_int_equal(once.count, twice.count);
    must(t.type->write(&t, twice.v, twice.count, at("twice.wav"), &err));
    must(sound_read(&x, at("once.wav"), 8000, &err));
    must(sound_read(&y, at("twice.wav"), 8000, &err));
    assert_int_equal(x.count, y.count);
    double again = sound_signal_to_noise(x.samples, y.samples, x.count);
    if (!(again > ratio + 2)) test_failed("coded once: %.2f dB, again: %.2f dB\n", ratio, again);
    sound_free(&x);
    sound_free(&y);
    id_list_free(&once);
    id_list_free(&twice);
    tokenizer_close(&t);
}

static void same_file(const char *a, const char *b) {
    file_bytes x, y;
    must(file_read(at(a), 1 << 26, &x, &err));
    must(file_read(at(b), 1 << 26, &y, &err));
    if (x.size != y.size || memcmp(x.data, y.data, x.size)) test_failed("%s and %s differ\n", a, b);
    file_bytes_free(&x);
    file_bytes_free(&y);
}

static void same_bits(void **state) {
    (void)state;
    static const char *const folders[] = {"one", "two", "loaded", "other"};
    token_config c = config_of(8000, 80, 5, 48);
    int threads = omp_get_max_threads();
    id_list ids[4] = {{0}};
    for (int i = 0; i < 4; i++) {
        tokenizer t;
        char wav[32];
        must(folder_make(at(folders[i]), &err));
        if (i == 2) must(tokenizer_load(&t, at("one"), &err));
        else must(tokenizer_open(&t, "rvq", &c, &err));
        omp_set_num_threads(i == 1 ? 2 : 1);
        if (i != 2) must(train(&t, i == 3 ? 2 : 1, NULL, &err));
        must(tokenizer_save(&t, at(folders[i]), &err));
        snprintf(wav, sizeof wav, "%s.wav", folders[i]);
        round_trip(&t, &ids[i], wav);
        tokenizer_close(&t);
    }
    omp_set_num_threads(threads);
    for (int i = 1; i < 3; i++) {
        char name[64], wav[32];
        snprintf(name, sizeof name, "%s/%s", folders[i], RUN_CODEC);
        snprintf(wav, sizeof wav, "%s.wav", folders[i]);
        same_file("one/" RUN_CODEC, name);
        same_file("one.wav", wav);
        assert_int_equal(ids[0].count, ids[i].count);
        assert_memory_equal(ids[0].v, ids[i].v, ids[0].count * sizeof *ids[0].v);
    }
    assert_memory_not_equal(ids[0].v, ids[3].v, ids[0].count * sizeof *ids[0].v); /* another seed */
    for (int i = 0; i < 4; i++) id_list_free(&ids[i]);
}

/* Samples of nearly the same value mean nearly the same. */
static void what_samples_mean(void **state) {
    (void)state;
    static const int32_t steps[] = {0, 8, 64};
    double products[COUNT(steps)] = {0};
    tokenizer t;
    float v[SCALE_SIZE], w[SCALE_SIZE];
    must(tokenizer_open(&t, "mulaw", NULL, &err));
    assert_int_equal(t.vector_size, SCALE_SIZE);
    t.type->vector(&t, t.start, v);
    for (int k = 0; k < SCALE_SIZE; k++) assert_true(v[k] == 0);
    for (size_t i = 0; i < COUNT(steps); i++)
        for (int32_t step = 0; step < 256 - steps[i]; step++) {
            t.type->vector(&t, t.first + step, v);
            t.type->vector(&t, t.first + step + steps[i], w);
            for (int k = 0; k < SCALE_SIZE; k++) products[i] += (double)v[k] * (double)w[k] / (256 - steps[i]);
        }
    for (int32_t step = 0; step < 256; step++) { /* the ends are alike: x and -x differ in every second number's sign */
        t.type->vector(&t, t.first + step, v);
        t.type->vector(&t, t.first + 255 - step, w);
        for (int k = 0; k < SCALE_SIZE; k++) close_to((double)w[k], (double)(k % 2 ? v[k] : -v[k]), 1e-5, "an opposite value");
    }
    close_to(products[0], 1, 1e-5, "mean squared length");
    if (!(products[1] > 0.4 && products[1] < 0.9 && products[2] < 0.1))
        test_failed("mean products of vectors 8 and 64 steps apart: %g, %g\n", products[1], products[2]);
    tokenizer_close(&t);
}

/* What is learned is at rest: every entry is the mean of the vectors that are nearest to it, and these get its code. */
static void codebooks_are_at_rest(void **state) {
    (void)state;
    enum { DIMS = 3, CODES = 4, ROWS = 800 };
    static const float centre[CODES][DIMS] = {{0.5f, 0, 0}, {0, 9, 1}, {-6, -2, 4}, {3, 3, -20}};
    static float x[ROWS * DIMS], left[ROWS * DIMS];
    static int32_t code[ROWS];
    rng r = rng_make(8, RNG_TEST, 0);
    quantizer q = {0};
    for (int i = 0; i < ROWS * DIMS; i++)
        x[i] = left[i] = centre[i / DIMS * 7 % CODES][i % DIMS] + 0.4f * (float)rng_normal(&r);
    must(quantizer_open(&q, DIMS, 1, CODES, false, &err));
    must(quantizer_train(&q, left, ROWS, &r, NULL, &err));
    must(quantizer_encode(&q, x, ROWS, code, &err));
    double sum[CODES][DIMS] = {{0}};
    int count[CODES] = {0};
    for (int i = 0; i < ROWS; i++) {
        double least = INFINITY;
        int best = 0;
        for (int k = 0; k < CODES; k++) {
            double distance = 0;
            for (int d = 0; d < DIMS; d++) distance += pow((double)(x[i * DIMS + d] - q.entry[k * DIMS + d]), 2);
            if (distance < least) least = distance, best = k;
        }
        assert_int_equal(code[i], best);
        count[best]++;
        for (int d = 0; d < DIMS; d++) {
            sum[best][d] += (double)x[i * DIMS + d];
            close_to((double)left[i * DIMS + d], (double)(x[i * DIMS + d] - q.entry[best * DIMS + d]), 1e-5, "what is left");
        }
    }
    for (int k = 0; k < CODES; k++)
        for (int d = 0; d < DIMS; d++)
            close_to((double)q.entry[k * DIMS + d], sum[k][d] / count[k], 1e-4, "an entry");
    quantizer_close(&q);
}

/* What is known of codes before training: the entries of their codebooks, each book's of size 1, envelopes apart from
 * shapes. */
static void what_codes_mean(void **state) {
    (void)state;
    enum { BOOKS = 5, CODES = 48, FRAME = 80 };
    static float v[256], other[256];
    tokenizer t;
    must(tokenizer_load(&t, at("one"), &err));
    int64_t bands = t.vector_size - FRAME;
    assert_in_range(bands, 2, 21);
    for (int32_t id = 0; id < t.first; id++) {
        t.type->vector(&t, id, v);
        for (int64_t i = 0; i < t.vector_size; i++) assert_true(v[i] == 0);
    }
    for (int32_t book = 0; book < BOOKS; book++) {
        double sum[2] = {0}, mean = 0;
        for (int32_t code = 0; code < CODES; code++) {
            t.type->vector(&t, t.first + book * CODES + code, v);
            for (int64_t i = 0; i < t.vector_size; i++) sum[i >= bands] += (double)v[i] * (double)v[i] / CODES;
            mean += (double)v[0] / CODES;
            t.type->vector(&t, t.first + book * CODES + (code ^ 1), other);
            for (int64_t i = bands; i < t.vector_size; i++) assert_true(v[i] == -other[i]); /* codes come in pairs */
        }
        close_to(sum[book > 0], 1, 1e-4, "mean squared length");
        close_to(sum[book == 0], 0, 0, "the other part");
        close_to(mean, 0, 1e-4, "mean");
    }
    tokenizer_close(&t);
}

/* `prepare` reads many files at a time. */
static void reads_at_once(void **state) {
    (void)state;
    enum { READS = 8 };
    int threads = omp_get_max_threads(), failed = 0;
    id_list alone = {0}, ids[READS] = {{0}};
    tokenizer t;
    must(tokenizer_load(&t, at("one"), &err));
    must(t.type->read(&t, at("song5.wav"), &alone, &err));
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s", at("song5.wav"));
    omp_set_num_threads(4);
#pragma omp parallel for reduction(+ : failed) schedule(dynamic)
    for (int i = 0; i < READS; i++) failed += t.type->read(&t, path, &ids[i], NULL) != 0;
    omp_set_num_threads(threads);
    assert_int_equal(failed, 0);
    for (int i = 0; i < READS; i++) {
        assert_int_equal(ids[i].count, alone.count);
        assert_memory_equal(ids[i].v, alone.v, alone.count * sizeof *alone.v);
        id_list_free(&ids[i]);
    }
    id_list_free(&alone);
    tokenizer_close(&t);
}

static void cut_and_foreign_ids(void **state) {
    (void)state;
    tokenizer t;
    id_list ids = {0};
    int32_t odd[] = {2, 5, -7, 1000000, 3 + 48, 3 + 48, 3 + 4 * 48, 1, 0};
    sound s;
    must(tokenizer_load(&t, at("one"), &err));
    round_trip(&t, &ids, "whole.wav");
    for (size_t count = 0; count < 17; count++) {
        must(t.type->write(&t, ids.v, count, at("part.wav"), &err));
        size_t frames = (count + 4) / 5, expected = frames ? (frames - 1) * 80 : 0;
        if (!expected) {
            refused(sound_read(&s, at("part.wav"), 8000, &err), PCV_DATA, "no samples");
            continue;
        }
        must(sound_read(&s, at("part.wav"), 8000, &err));
        assert_int_equal(s.count, expected);
        sound_free(&s);
    }
    must(t.type->write(&t, odd, COUNT(odd), at("part.wav"), &err));
    id_list_free(&ids);
    tokenizer_close(&t);
}

static void masks_and_positions(void **state) {
    (void)state;
    token_config c = config_of(8000, 80, 3, 4);
    tokenizer t;
    float logits[15];
    int32_t ids[10] = {2}, where;
    must(tokenizer_open(&t, "rvq", &c, &err));
    assert_true(t.vocab == 15 && t.axes == 1 && t.axis_rows[0] == 4 && t.period == 3 && t.start == 2 && t.end == 1);
    for (size_t count = 1; count < 10; count++) {
        int k = (int)(count - 1) % 3;
        for (int i = 0; i < 15; i++) logits[i] = (float)i;
        t.type->mask(&t, ids, count, logits);
        for (int i = 0; i < 15; i++) {
            bool may = (i >= 3 + 4 * k && i < 7 + 4 * k) || (i == 1 && k == 0);
            if (may ? logits[i] != (float)i : !isinf(logits[i]))
                test_failed("behind %zu tokens id %d has %g\n", count, i, (double)logits[i]);
        }
        t.type->position(&t, (int64_t)count, &where);
        assert_int_equal(where, k + 1);
    }
    t.type->position(&t, 0, &where);
    assert_int_equal(where, 0);
    static const int places[] = {0, 1, 2, 3, 1, 2, 3, 1}; /* from where on positions are the same */
    for (int i = 0; i < 8; i++) assert_int_equal(tokenizer_place(&t, i), places[i]);
    tokenizer_close(&t);
}

typedef struct listener {
    int calls, stop_at;
} listener;

static int count_calls(void *context, const pcv_progress *p) {
    listener *l = context;
    assert_true(p->done >= 0 && p->done <= p->total && p->stage);
    return ++l->calls == l->stop_at ? PCV_STOP : 0;
}

static void interruptions(void **state) {
    (void)state;
    static const int stops[] = {0, 1, SONGS, SONGS + 1, SONGS + 20};
    token_config c = config_of(8000, 64, 4, 32);
    for (size_t i = 0; i < COUNT(stops); i++) {
        tokenizer t;
        listener l = {.stop_at = stops[i]};
        pcv_watch watch = {.progress = count_calls, .context = &l};
        must(tokenizer_open(&t, "rvq", &c, &err));
        if (stops[i]) refused(train(&t, 1, &watch, &err), PCV_INTERRUPTED, "interrupted");
        else must(train(&t, 1, &watch, &err));
        if (stops[i]) assert_int_equal(l.calls, stops[i]);
        tokenizer_close(&t);
    }
}

static void refused_settings(void **state) {
    (void)state;
    static const struct {
        int64_t frame, books, codes;
        const char *part;
    } cases[] = {{321, 8, 1024, "--frame 321: expected an even"}, {320, 8, 7, "--codes 7: expected an even"},
                 {8192, 64, 65536, "lower one of them"}};
    const char *none[] = {"/nowhere/a.wav", NULL};
    tokenizer t;
    for (size_t i = 0; i < COUNT(cases); i++) {
        token_config c = config_of(8000, cases[i].frame, cases[i].books, cases[i].codes);
        refused(tokenizer_open(&t, "rvq", &c, &err), PCV_CONFIG, cases[i].part);
    }
    must(tokenizer_open(&t, "rvq", &(token_config){.rate = 8000, .frame = 16, .codebooks = 2, .codes = 2}, &err));
    refused(t.type->train(&t, none, 1, 1, NULL, &err), PCV_DATA, "/nowhere/a.wav");
    refused(t.type->train(&t, none, 0, 1, NULL, &err), PCV_DATA, "none of the files");
    tokenizer_close(&t);
}

static void damaged_codebooks(void **state) {
    (void)state;
    static const struct {
        const char *name, *type;
        int64_t rows, cols;
        float value;
        const char *part;
    } cases[] = {{"codebooks", "F32", 96, 80, 0, NULL}, {"codebook", "F32", 96, 80, 0, "no tensor 'codebooks'"},
                 {"codebooks", "F32", 96, 79, 0, "does not fit"}, {"codebooks", "F32", 95, 80, 0, "does not fit"},
                 {"codebooks", "I32", 96, 80, 0, "does not fit"}, {"codebooks", "F32", 96, 80, NAN, "element 7679 is not"}};
    static float zeros[48 * 80], values[96 * 80];
    safetensors file;
    tokenizer t;
    must(tokenizer_load(&t, at("two"), &err));
    must(safetensors_open(&file, at("two/" RUN_CODEC), &err));
    int64_t dims = safetensors_find(&file, "envelopes")->shape[1];
    safetensors_close(&file);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const safetensors_plan plans[] = {
            {.name = "envelopes", .type = "F32", .rank = 2, .shape = {48, dims}, .data = zeros},
            {.name = cases[i].name, .type = cases[i].type, .rank = 2, .shape = {cases[i].rows, cases[i].cols}, .data = values}};
        const safetensors_writer w = {.plans = plans, .count = 2};
        values[COUNT(values) - 1] = cases[i].value;
        must(safetensors_save(&w, at("two/" RUN_CODEC), NULL, NULL, &err));
        if (cases[i].part) refused(t.type->load(&t, at("two"), &err), PCV_DATA, cases[i].part);
        else must(t.type->load(&t, at("two"), &err));
    }
    assert_int_equal(remove(at("two/" RUN_CODEC)), 0);
    tokenizer_close(&t);
    refused(tokenizer_load(&t, at("two"), &err), PCV_NOINPUT, RUN_CODEC);
}

#define T(test) cmocka_unit_test(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(fourier_formula), T(mdct_formula), T(mdct_gives_back), T(spectrogram_of_a_tone), T(distances),
        T(mulaw_values), T(mulaw_error),
        T(more_codes_are_better), T(code_of_what_was_coded), T(same_bits), T(what_samples_mean),
        T(what_codes_mean), T(codebooks_are_at_rest), T(reads_at_once),
        T(cut_and_foreign_ids), T(masks_and_positions), T(interruptions), T(refused_settings), T(damaged_codebooks),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
