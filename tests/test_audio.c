/* Sound: files of every kind, the transforms against their formulas, spectrograms and distances, mu-law, and the codec
 * that is learned from files. Every sound is made here. */
#include "scratch.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/safetensors.h"
#include "media/mdct.h"
#include "media/sound_file.h"
#include "media/spectrogram.h"
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

/* ------------------------------------------------------------------ files */

enum { RATE = 16000, CHANNELS_MOST = 6, FRAMES_MOST = 96000 };

/* Channel c is (c + 1) times this. */
static double tone(double seconds) { return 0.1 * sin(880 * M_PI * seconds) + 0.05 * sin(4000 * M_PI * seconds + 1); }

static void put_sound(const char *name, int format, int rate, int channels, int frames) {
    static float samples[FRAMES_MOST * CHANNELS_MOST];
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *f = sf_open(at(name), SFM_WRITE, &info);
    if (!f) test_failed("cannot make %s: %s\n", name, sf_strerror(NULL));
    for (int i = 0; i < frames * channels; i++)
        samples[i] = (float)(tone((double)(i / channels) / rate) * (i % channels + 1));
    assert_int_equal(sf_writef_float(f, samples, frames), frames);
    sf_close(f);
}

static void every_format(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int format, rate, channels;
        double least; /* signal to noise */
    } cases[] = {
        {"a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 65}, {"b.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 44100, 2, 75},
        {"c.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_24, 11025, 3, 75}, {"d.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 8000, 1, 20},
        {"e.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 48000, 2, 65}, {"f.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_24, 96000, 6, 75},
        {"g.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 44100, 1, 12}, {"h.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 44100, 2, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        sound s;
        float expected[RATE];
        double gain = (cases[i].channels + 1) / 2.0, power = 0;
        put_sound(cases[i].name, cases[i].format, cases[i].rate, cases[i].channels, cases[i].rate);
        must(sound_read(&s, at(cases[i].name), RATE, &err));
        assert_int_equal(s.rate, RATE);
        close_to((double)s.count, RATE, cases[i].least > 0 ? 2 : 2400, cases[i].name);
        for (int k = 0; k < RATE; k++) expected[k] = (float)(gain * tone((double)k / RATE));
        for (int k = 1000; k < RATE - 2000; k++) power += (double)s.samples[k] * (double)s.samples[k];
        close_to(power / (RATE - 3000), gain * gain * 0.00625, gain * gain * 0.0003, cases[i].name);
        double ratio = sound_signal_to_noise(expected + 1000, s.samples + 1000, RATE - 3000);
        if (cases[i].least > 0 && !(ratio > cases[i].least)) test_failed("%s: %.1f dB\n", cases[i].name, ratio);
        sound_free(&s);
    }
}

static void written_bytes(void **state) {
    (void)state;
    static const float samples[] = {0, 0.5f, -0.5f, 1, -1, 7, -7, NAN, INFINITY, 1 / 32768.0f, -1.4f / 32768};
    static const int16_t expected[] = {0, 16384, -16384, 32767, -32768, 32767, -32768, 0, 32767, 1, -1};
    static const unsigned char head[] = "RIFF\x3A\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1F\0\0\x80\x3E\0\0\2\0\x10\0data\x16\0\0\0";
    file_bytes b;
    sound s;
    must(sound_write(at("written.wav"), samples, COUNT(samples), 8000, &err));
    must(file_read(at("written.wav"), 1000, &b, &err));
    assert_int_equal(b.size, 44 + 2 * COUNT(samples));
    assert_memory_equal(b.data, head, 44);
    assert_memory_equal(b.data + 44, expected, sizeof expected);
    file_bytes_free(&b);
    must(sound_read(&s, at("written.wav"), 8000, &err));
    assert_int_equal(s.count, COUNT(samples));
    for (size_t i = 0; i < s.count; i++) assert_true(s.samples[i] == expected[i] / 32768.0f);
    sound_free(&s);
    refused(sound_write(at("no/where.wav"), samples, 1, 8000, &err), PCV_CANTCREATE, "where.wav");
}

/* A WAV of our own making: channels, rate, bytes of data as the header has it, and as they are. */
static size_t make_wav(unsigned char *out, unsigned channels, unsigned rate, unsigned said, const void *data, size_t size,
                       int is_float) {
    const unsigned fields[][2] = {{36 + said, 4}, {16, 4}, {is_float ? 3 : 1, 2}, {channels, 2}, {rate, 4},
                                  {rate * channels * (is_float ? 4 : 2), 4}, {channels * (is_float ? 4 : 2), 2},
                                  {is_float ? 32 : 16, 2}, {said, 4}};
    static const unsigned char places[] = {4, 16, 20, 22, 24, 28, 32, 34, 40};
    memcpy(out, "RIFF....WAVEfmt ....................data", 40);
    for (size_t i = 0; i < COUNT(fields); i++)
        for (unsigned k = 0; k < fields[i][1]; k++) out[places[i] + k] = (unsigned char)(fields[i][0] >> 8 * k);
    memcpy(out + 44, data, size);
    return 44 + size;
}

static void refused_files(void **state) {
    (void)state;
    static unsigned char bytes[4096];
    static const int16_t some[100] = {1, 2, 3};
    const float bad[] = {0, 0.1f, NAN, 0.2f};
    sound s;
#define WAV(...) put("x.wav", bytes, make_wav(bytes, __VA_ARGS__))
#define REFUSED(code, part) refused(sound_read(&s, at("x.wav"), RATE, &err), code, part)
    put("x.wav", "", 0);
    REFUSED(PCV_DATA, "x.wav: no sound file");
    put("x.wav", "some text, and no sound at all", 30);
    REFUSED(PCV_DATA, "x.wav: no sound file");
    WAV(0, 8000, 200, some, 200, 0);
    REFUSED(PCV_DATA, "x.wav: ");
    WAV(65, 8000, 200, some, 200, 0);
    REFUSED(PCV_DATA, "65 channels, expected 1 to 64");
    WAV(1000, 8000, 200, some, 200, 0);
    REFUSED(PCV_DATA, "1000 channels, expected 1 to 64");
    WAV(1, 0, 200, some, 200, 0);
    REFUSED(PCV_DATA, "x.wav: ");
    WAV(1, 999, 200, some, 200, 0);
    REFUSED(PCV_DATA, "999 samples a second, expected 1000 to 768000");
    WAV(1, 2000000000, 200, some, 200, 0);
    REFUSED(PCV_DATA, "2000000000 samples a second");
    WAV(1, 8000, 0, some, 0, 0);
    REFUSED(PCV_DATA, "x.wav: no samples");
    WAV(1, 8000, 16, bad, 16, 1);
    REFUSED(PCV_DATA, "sample 2 is not a number");
    refused(sound_read(&s, at("none.wav"), RATE, &err), PCV_NOINPUT, "none.wav");
    refused(sound_read(&s, at("."), RATE, &err), PCV_NOINPUT, "not a regular file");
    assert_int_equal(mkfifo(at("fifo.wav"), 0600), 0);
    refused(sound_read(&s, at("fifo.wav"), RATE, &err), PCV_NOINPUT, "not a regular file");

    /* A length that is wrong or unknown, as programs that write into a pipe leave it: what is there counts. */
    static const unsigned said[] = {300, 0x7FFFFFFF, 0xFFFFFFFF - 36};
    for (size_t i = 0; i < COUNT(said); i++) {
        WAV(1, RATE, said[i], some, 200, 0);
        must(sound_read(&s, at("x.wav"), RATE, &err));
        assert_int_equal(s.count, 100);
        sound_free(&s);
    }
}

static void too_long(void **state) {
    (void)state;
    unsigned char header[44];
    sound s;
    make_wav(header, 1, 1000, 2 * (SOUND_HOURS * 3600 * 1000 + 1), "", 0, 0);
    put("long.wav", header, sizeof header);
    assert_int_equal(truncate(at("long.wav"), 44 + 2 * SOUND_HOURS * 3600 * 1000), 0);
    must(sound_read(&s, at("long.wav"), 1000, &err));
    assert_int_equal(s.count, SOUND_HOURS * 3600 * 1000);
    sound_free(&s);
    assert_int_equal(truncate(at("long.wav"), 44 + 2 * (SOUND_HOURS * 3600 * 1000 + 1)), 0);
    refused(sound_read(&s, at("long.wav"), 1000, &err), PCV_DATA, "more than 4 hours");
    assert_int_equal(remove(at("long.wav")), 0);
}

/* Truncated and damaged files give an error that names them, or a sound; never more. */
static void damaged_files(void **state) {
    (void)state;
    static const char *const names[] = {"cut.flac", "cut.ogg", "cut.mp3", "cut.wav"};
    static const int formats[] = {SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_OGG | SF_FORMAT_VORBIS,
                                  SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    rng r = rng_make(1, RNG_TEST, 0);
    for (size_t i = 0; i < COUNT(names); i++) {
        file_bytes b;
        put_sound(names[i], formats[i], 16000, 2, 4000);
        must(file_read(at(names[i]), 1 << 20, &b, &err));
        for (int k = 0; k < 120; k++) {
            char kept = 0;
            sound s;
            pcv_error err = {0};
            size_t size = k < 60 ? b.size * (size_t)k / 60 : b.size;
            size_t place = (size_t)rng_below(&r, k < 90 ? 60 : b.size);
            if (k >= 60) kept = b.data[place], b.data[place] = (char)(kept ^ (1 << rng_below(&r, 8)));
            put(names[i], b.data, size);
            int status = sound_read(&s, at(names[i]), RATE, &err);
            if (status && (status != PCV_DATA || !strstr(err.message, names[i])))
                test_failed("%s, case %d: %d: %s\n", names[i], k, status, err.message);
            if (i == 0 && k < 60 && !status) test_failed("%s cut at byte %zu is read\n", names[i], size);
            if (!status) sound_free(&s);
            if (k >= 60) b.data[place] = kept;
        }
        file_bytes_free(&b);
    }
}

/* A sample or two can be nothing at a lower rate, and less than a frame is no sound for a codec. */
static void too_short(void **state) {
    (void)state;
    tokenizer t;
    id_list ids = {0};
    sound s;
    put_sound("one.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 48000, 1, 1);
    refused(sound_read(&s, at("one.wav"), RATE, &err), PCV_DATA, "one.wav: too short for 16000 samples a second: 1 of 48000");
    must(sound_read(&s, at("one.wav"), 48000, &err));
    assert_int_equal(s.count, 1);
    sound_free(&s);
    must(tokenizer_open(&t, "rvq", &(token_config){.rate = 8000, .frame = 16, .codebooks = 2, .codes = 2}, &err));
    put_sound("short.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, 15);
    refused(tokenizer_read(&t, at("short.wav"), &ids, &err), PCV_DATA, "short.wav: too short for a frame of 16 samples: 15");
    put_sound("short.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, 16);
    must(tokenizer_read(&t, at("short.wav"), &ids, &err));
    assert_true(ids.count > 0);
    id_list_free(&ids);
    tokenizer_close(&t);
}

/* The MD5 of a FLAC's header: right, wrong, and none at all. */
static void md5_of_flac(void **state) {
    (void)state;
    enum { AT = 26, SIZE = 16 };
    file_bytes b;
    put_sound("md5.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 22050, 2, 30000);
    must(file_read(at("md5.flac"), 1 << 22, &b, &err));
    for (int wrong = 0; wrong < 3; wrong++) {
        sound s;
        pcv_error reason = {0};
        if (wrong == 1) b.data[AT + 3] ^= 1;
        if (wrong == 2) memset(b.data + AT, 0, SIZE);
        put("md5.flac", b.data, b.size);
        must(sound_read(&s, at("md5.flac"), RATE, &reason));
        close_to((double)s.count, 30000 * RATE / 22050.0, 2, "samples");
        bool warned = strstr(reason.message, "md5.flac: not the samples that were encoded");
        if (warned != (wrong == 1)) test_failed("MD5 %d: '%s'\n", wrong, reason.message);
        sound_free(&s);
    }
    file_bytes_free(&b);
}

static void no_memory(void **state) {
    (void)state;
    put_sound("memory.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 2, 8000);
    for (uint64_t n = 1;; n++) {
        sound s = {0};
        pcv_error err = {0};
        mem_fail_after(n);
        int status = sound_read(&s, at("memory.wav"), RATE, &err);
        if (!status) status = spectrogram_draw(at("memory.png"), s.samples, s.count, &err);
        sound_free(&s);
        if (!status) break;
        assert_true(status == PCV_MEMORY && n < 30);
    }
    mem_fail_after(0);
}

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
        snprintf(name, sizeof name, "%s/%s", folders[i], RVQ_FILE);
        snprintf(wav, sizeof wav, "%s.wav", folders[i]);
        same_file("one/" RVQ_FILE, name);
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
    close_to(products[0], 1, 1e-5, "mean squared length");
    if (!(products[1] > 0.4 && products[1] < 0.9 && products[2] < 0.1))
        test_failed("mean products of vectors 8 and 64 steps apart: %g, %g\n", products[1], products[2]);
    tokenizer_close(&t);
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
    must(safetensors_open(&file, at("two/" RVQ_FILE), &err));
    int64_t dims = safetensors_find(&file, "envelopes")->shape[1];
    safetensors_close(&file);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const safetensors_plan plans[] = {
            {.name = "envelopes", .type = "F32", .rank = 2, .shape = {48, dims}, .data = zeros},
            {.name = cases[i].name, .type = cases[i].type, .rank = 2, .shape = {cases[i].rows, cases[i].cols}, .data = values}};
        const safetensors_writer w = {.plans = plans, .count = 2};
        values[COUNT(values) - 1] = cases[i].value;
        must(safetensors_save(&w, at("two/" RVQ_FILE), NULL, NULL, &err));
        if (cases[i].part) refused(t.type->load(&t, at("two"), &err), PCV_DATA, cases[i].part);
        else must(t.type->load(&t, at("two"), &err));
    }
    assert_int_equal(remove(at("two/" RVQ_FILE)), 0);
    tokenizer_close(&t);
    refused(tokenizer_load(&t, at("two"), &err), PCV_NOINPUT, RVQ_FILE);
}

#define T(test) cmocka_unit_test(test)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(every_format), T(written_bytes), T(refused_files), T(too_long), T(damaged_files), T(too_short), T(md5_of_flac),
        T(no_memory),
        T(fourier_formula), T(mdct_formula), T(mdct_gives_back), T(spectrogram_of_a_tone), T(distances),
        T(mulaw_values), T(mulaw_error),
        T(more_codes_are_better), T(code_of_what_was_coded), T(same_bits), T(what_samples_mean),
        T(what_codes_mean), T(reads_at_once),
        T(cut_and_foreign_ids), T(masks_and_positions), T(interruptions), T(refused_settings), T(damaged_codebooks),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
