/* Sound files of every kind, good, damaged and too short, read and written. Every file is made here. */
#include "scratch.h"
#include "base/mem.h"
#include "base/rng.h"
#include "media/sound_encode.h"
#include "media/sound_file.h"
#include "media/spectrogram.h"
#include "media/synthesizer.h"
#include "token/token.h"

#include <sndfile.h>
#include <sys/stat.h>

/* Whether the disk has what is written here is not the question. */
int fsync(int fd) { return fd < 0 ? -1 : 0; }

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

/* Every format that libsndfile has here, by the name's ending; lossless ones to the bit. */
static void format_of_the_name(void **state) {
    (void)state;
    static const char *const begins[][2] = {{".wav", "RIFF"}, {".flac", "fLaC"}, {".ogg", "OggS"}, {".opus", "OggS"},
                                            {".mp3", "\xFF"}};
    enum { COUNT_OF = 24000 };
    static float samples[COUNT_OF];
    const char *endings[SOUND_FORMATS + 1];
    size_t formats = 0;
    for (int i = 0; i < COUNT_OF; i++) samples[i] = (float)tone((double)i / RATE);
    sound_formats(RATE, endings);
    for (; endings[formats]; formats++) {
        char name[16];
        size_t k = 0;
        file_bytes b;
        sound s;
        while (strcmp(begins[k][0], endings[formats])) k++;
        snprintf(name, sizeof name, "made%s", endings[formats]);
        must(sound_check(at(name), RATE, &err));
        must(sound_write(at(name), samples, COUNT_OF, RATE, &err));
        must(file_read(at(name), 1 << 20, &b, &err));
        if (memcmp(b.data, begins[k][1], strlen(begins[k][1]))) test_failed("%s is another file\n", name);
        pcv_error said = {0};
        assert_int_equal(sound_read(&s, at(name), RATE, &said), 0);
        assert_string_equal(said.message, "");
        close_to((double)s.count, COUNT_OF, k < 2 ? 0 : 2400, name);
        double power = 0;
        for (size_t i = 0; i < s.count; i++) {
            power += (double)s.samples[i] * (double)s.samples[i];
            if (k < 2) close_to(s.samples[i], samples[i], 1.0 / 65536, name);
        }
        close_to(power / COUNT_OF, 0.00625, 0.0006, name);
        sound_free(&s);
        file_bytes_free(&b);
    }
    assert_true(formats > 1 && !strcmp(endings[0], ".wav"));
    sound_formats(11111, endings); /* Opus has few rates */
    for (formats = 0; endings[formats]; formats++) assert_string_not_equal(endings[formats], ".opus");
    refused(sound_write(at("made.aac"), samples, 1, RATE, &err), PCV_USAGE,
            "no '.aac' file can be written here, expected .wav, .flac");
    must(sound_write(at("noending"), samples, 1, RATE, &err));
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

/* Tags in front of an MP3 are no sound, however many there are; one with a footer is longer than its size says. */
static void tags_of_mp3(void **state) {
    (void)state;
    static unsigned char bytes[1 << 16];
    static const unsigned char tags[] = "ID3\3\0\0\0\0\0\5title" "ID3\4\0\x10\0\1\1\2";
    enum { SECOND = 25, PADDING = (1 << 14) + (1 << 7) + 2 + 10 };
    file_bytes b;
    sound plain, tagged;
    put_sound("plain.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 44100, 1, 8000);
    must(file_read(at("plain.mp3"), sizeof bytes / 2, &b, &err));
    memcpy(bytes, tags, SECOND);
    memcpy(bytes + SECOND + PADDING, b.data, b.size);
    put("tagged.mp3", bytes, SECOND + PADDING + b.size);
    must(sound_read(&plain, at("plain.mp3"), RATE, &err));
    must(sound_read(&tagged, at("tagged.mp3"), RATE, &err));
    assert_int_equal(tagged.count, plain.count);
    assert_memory_equal(tagged.samples, plain.samples, plain.count * sizeof *plain.samples);
    sound_free(&plain);
    sound_free(&tagged);
    put("tagged.mp3", bytes, SECOND + PADDING); /* and nothing behind them */
    refused(sound_read(&plain, at("tagged.mp3"), RATE, &err), PCV_DATA, "tagged.mp3: begins like an MP3, but is damaged");
    file_bytes_free(&b);
}

/* Frames of another rate or with other channels do not belong to a stream and are left out. */
static void format_that_changes(void **state) {
    (void)state;
    static const int other[][2] = {{22050, 2}, {44100, 1}, {32000, 2}};
    sound alone, both;
    file_bytes first, second;
    put_sound("first.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 44100, 2, 20000);
    must(sound_read(&alone, at("first.mp3"), RATE, &err));
    must(file_read(at("first.mp3"), 1 << 20, &first, &err));
    for (size_t i = 0; i < COUNT(other); i++) {
        pcv_error said = {0};
        put_sound("second.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, other[i][0], other[i][1], 20000);
        must(file_read(at("second.mp3"), 1 << 20, &second, &err));
        char *all = malloc(first.size + second.size);
        memcpy(all, first.data, first.size);
        memcpy(all + first.size, second.data, second.size);
        put("both.mp3", all, first.size + second.size);
        int status = sound_read(&both, at("both.mp3"), RATE, &said);
        if (status || both.count != alone.count) test_failed("case %zu: %s\n", i, status ? said.message : "longer");
        for (size_t k = 0; k < both.count; k++) close_to(both.samples[k], alone.samples[k], 1e-3, "frames of one format");
        sound_free(&both);
        free(all);
        file_bytes_free(&second);
    }
    sound_free(&alone);
    file_bytes_free(&first);
}

/* A program that stands in for FluidSynth: it plays when it is called as that is called, and notes what it gets. */
static void music_is_played(void **state) {
    (void)state;
    static const char *const plays = "#!/bin/sh\n[ \"$1 $2 $3 $4 $5 $6\" = '-ni -T wav -r 44100 -F' ] || exit 3\n"
                                     "echo \"$8 $9\" >\"$7\"\necho noise; echo noise >&2\n";
    static const struct {
        const char *program;
        int code;
        const char *part;
    } cases[] = {
        {plays, 0, NULL},
        {"#!/bin/sh\necho half >\"$7\"; exit 1\n", PCV_IO, "song.mid: fluidsynth could not play it"},
        {"#!/bin/sh\necho half >\"$7\"; kill -9 $$\n", PCV_IO, "song.mid: fluidsynth could not play it"},
        {"#!/bin/sh\nexit 0\n", PCV_IO, "song.mid: fluidsynth could not play it"},
        {"#!/bin/sh\nexit 127\n", PCV_NOINPUT, "fluidsynth is not installed"},
        {NULL, PCV_NOINPUT, "fluidsynth is not installed"},
    };
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s:/usr/bin:/bin", at("bin"));
    assert_int_equal(mkdir(at("bin"), 0700), 0);
    setenv("SOUNDFONT", "font.sf2", 1);
    assert_string_equal(synthesizer_font(), "font.sf2");
    for (size_t i = 0; i < COUNT(cases); i++) {
        file_bytes b;
        pcv_error said = {0};
        file_list names = {0};
        setenv("PATH", cases[i].program ? path : at("bin"), 1);
        if (cases[i].program) put("bin/fluidsynth", cases[i].program, strlen(cases[i].program));
        else assert_int_equal(remove(at("bin/fluidsynth")), 0);
        if (cases[i].program) assert_int_equal(chmod(at("bin/fluidsynth"), 0700), 0);
        int status = synthesize("song.mid", at("bin/song.wav"), &said);
        if (status != cases[i].code || (status && !strstr(said.message, cases[i].part)))
            test_failed("program %zu: %d: %s\n", i, status, said.message);
        must(file_read(at("bin/song.wav"), 100, &b, &err)); /* what was there stays */
        assert_int_equal(b.size, strlen("font.sf2 song.mid\n"));
        assert_memory_equal(b.data, "font.sf2 song.mid\n", b.size);
        file_bytes_free(&b);
        must(folder_names(at("bin"), &names, &err)); /* and nothing else is */
        assert_int_equal(names.count, 1 + (cases[i].program != NULL));
        file_list_free(&names);
    }
    for (int k = 0; k < 2; k++) { /* none was named: the machine's, if it has one */
        if (k) setenv("SOUNDFONT", "", 1);
        else unsetenv("SOUNDFONT");
        const char *font = synthesizer_font();
        if (font) assert_true(path_exists(font));
        else refused(synthesize("song.mid", at("bin/song.wav"), &err), PCV_NOINPUT, "no sound font");
    }
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

/* Wherever memory ends while a sound is encoded, even for a moment, there is none; and a rate that a format has not. */
static void no_memory_to_encode(void **state) {
    (void)state;
    enum { SAMPLES = 30000 };
    static int16_t samples[SAMPLES];
    static uint64_t (*const fail_at[])(uint64_t) = {mem_fail_after, mem_fail_once};
    const char *endings[SOUND_FORMATS + 1], *same[SOUND_FORMATS + 1];
    file_bytes whole, out;
    for (int i = 0; i < SAMPLES; i++) samples[i] = (int16_t)(20000 * tone((double)i / RATE));
    sound_formats(RATE, endings);
    for (int e = 1; endings[e]; e++)
        for (size_t way = 0; way < COUNT(fail_at); way++) {
            uint64_t n = 1;
            must(sound_encode(&whole, endings[e], samples, SAMPLES, RATE, "a", &err));
            for (;; n++) {
                pcv_error said = {0};
                fail_at[way](n);
                int status = sound_encode(&out, endings[e], samples, SAMPLES, RATE, "a", &said);
                mem_fail_after(0);
                if (!status) break;
                if (status != PCV_MEMORY || out.data) test_failed("%s, allocation %d: %s\n", endings[e], (int)n, said.message);
            }
            assert_true(n > 1 && out.size == whole.size);
            file_bytes_free(&out);
            file_bytes_free(&whole);
        }
    mem_fail_after(1);
    sound_formats(RATE, same); /* do not depend on it */
    mem_fail_after(0);
    for (int e = 0; endings[e]; e++) assert_true(same[e] == endings[e]);
    refused(sound_encode(&out, ".opus", samples, SAMPLES, 11111, "a.opus", &err), PCV_IO, "a.opus: the sound cannot be encoded as '.opus'");
}

int main(void) {
#define T(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        T(every_format), T(written_bytes), T(format_of_the_name), T(refused_files), T(too_long), T(damaged_files),
        T(too_short), T(md5_of_flac),
        T(tags_of_mp3), T(format_that_changes), T(music_is_played), T(no_memory), T(no_memory_to_encode),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
