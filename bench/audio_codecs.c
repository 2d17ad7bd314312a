/* How well sound survives the codecs: audio_codecs TRAIN TEST [CODEBOOKS...]
 *
 * Learns one codec from the files in TRAIN and prints, for it with several numbers of codebooks, for mu-law at several
 * sample rates and for Opus (opusenc and opusdec, where they are installed) at the same rates of bits, the mean over
 * the files in TEST of the signal-to-noise ratio and of the log-spectral distance, both at 16,000 samples a second. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/safetensors.h"
#include "config/run_files.h"
#include "media/sound_file.h"
#include "media/spectrogram.h"
#include "token/rvq.h"
#include "token/token.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RATE = 16000, MOST_LAG = 40, BOOKS_MOST = 16 };

static char folder[] = "/tmp/audio-codecs-XXXXXX";

static void must(int status, const pcv_error *err) {
    if (!status) return;
    fprintf(stderr, "audio_codecs: %s\n", err->message);
    path_remove(folder, NULL);
    exit(status);
}

typedef struct result {
    double ratio, distance, files;
} result;

/* Compares two files at the lag, of a few samples, at which they are most alike: Opus files have one. */
static void compare(result *r, const char *original, const char *decoded) {
    pcv_error err;
    sound x, y;
    double best = -INFINITY, distance;
    int best_lag = 0;
    must(sound_read(&x, original, RATE, &err), &err);
    must(sound_read(&y, decoded, RATE, &err), &err);
    size_t count = (x.count < y.count ? x.count : y.count) - 2 * MOST_LAG;
    for (int lag = -MOST_LAG; lag <= MOST_LAG; lag++) {
        double ratio = sound_signal_to_noise(x.samples + MOST_LAG, y.samples + MOST_LAG + lag, count);
        if (ratio > best) best = ratio, best_lag = lag;
    }
    must(sound_spectral_distance(x.samples + MOST_LAG, y.samples + MOST_LAG + best_lag, count, &distance, &err), &err);
    r->ratio += best;
    r->distance += distance;
    r->files++;
    sound_free(&x);
    sound_free(&y);
}

static void print(const char *codec, const char *setting, double kilobits, const result *r, double seconds) {
    printf("%s,%s,%.2f,%.2f,%.2f,%.2f\n", codec, setting, kilobits, r->ratio / r->files, r->distance / r->files,
           seconds);
    fflush(stdout);
}

static void in_folder(char *path, const char *name) {
    pcv_error err;
    must(path_join(path, folder, name, &err), &err);
}

static void there_and_back(const tokenizer *t, const file_list *files, const char *setting, double kilobits) {
    char decoded[PATH_SIZE];
    pcv_error err;
    result r = {0};
    double seconds = 0;
    in_folder(decoded, "decoded.wav");
    for (size_t i = 0; i < files->count; i++) {
        id_list ids = {0};
        double start = clock_now();
        must(t->type->read(t, files->paths[i], &ids, &err), &err);
        must(t->type->write(t, ids.v, ids.count, decoded, &err), &err);
        seconds += clock_now() - start;
        compare(&r, files->paths[i], decoded);
        id_list_free(&ids);
    }
    print(t->type->name, setting, kilobits, &r, seconds);
}

static token_config config_with(int64_t rate, int64_t codebooks) {
    token_config c = {0};
    fields_default(&token_fields, &c);
    c.rate = rate;
    c.codebooks = codebooks;
    return c;
}

/* Codebooks are learned in sequence: the first `books` of the codec in the folder are a codec, too. */
static void shorten(int64_t books) {
    char path[PATH_SIZE];
    pcv_error err;
    tokenizer t;
    safetensors file;
    float *data[2];
    safetensors_plan plans[2];
    token_config c = config_with(RATE, books);
    in_folder(path, RUN_CODEC);
    must(safetensors_open(&file, path, &err), &err);
    for (int i = 0; i < 2; i++) {
        const safetensors_entry *e = &file.entries[i];
        int64_t rows = i == 0 ? (books - 1) * c.codes / 2 : e->shape[0]; /* codebooks, envelopes */
        must(mem_get(&data[i], e->bytes, "codebooks", &err), &err);
        must(safetensors_load(&file, e, data[i], &err), &err);
        plans[i] = (safetensors_plan){.name = e->name, .type = "F32", .rank = 2, .shape = {rows, e->shape[1]},
                                      .data = data[i]};
    }
    must(tokenizer_open(&t, "rvq", &c, &err), &err);
    must(tokenizer_save(&t, folder, &err), &err); /* for tokenizer.json */
    must(safetensors_save(&(safetensors_writer){.plans = plans, .count = 2}, path, NULL, NULL, &err), &err);
    tokenizer_close(&t);
    safetensors_close(&file);
    mem_free(data[0]);
    mem_free(data[1]);
}

/* books: descending. */
static void measure_rvq(const file_list *train, const file_list *test, const int *books, int count) {
    pcv_error err;
    tokenizer t;
    token_config c = config_with(RATE, books[0]);
    double start = clock_now();
    must(tokenizer_open(&t, "rvq", &c, &err), &err);
    must(t.type->train(&t, (const char *const *)train->paths, train->count, 1, NULL, &err), &err);
    must(tokenizer_save(&t, folder, &err), &err);
    fprintf(stderr, "learned %d codebooks in %.1f s\n", books[0], clock_now() - start);
    for (int i = 0; i < count; i++) {
        char setting[32];
        tokenizer_close(&t);
        shorten(books[i]);
        must(tokenizer_load(&t, folder, &err), &err);
        snprintf(setting, sizeof setting, "%d x %lld", books[i], (long long)t.config.codes);
        there_and_back(&t, test, setting, rvq_kilobits(&t.config));
    }
    tokenizer_close(&t);
}

static void measure_mulaw(const file_list *test) {
    static const int rates[] = {1000, 2000, 4000, 8000, 16000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        pcv_error err;
        tokenizer t;
        char setting[32];
        token_config c = config_with(rates[i], 1);
        must(tokenizer_open(&t, "mulaw", &c, &err), &err);
        snprintf(setting, sizeof setting, "%d Hz", rates[i]);
        there_and_back(&t, test, setting, 8e-3 * rates[i]);
        tokenizer_close(&t);
    }
}

static void measure_opus(const file_list *test) {
    static const double kilobits[] = {6, 8, 12, 16, 24};
    char wav[PATH_SIZE], opus[PATH_SIZE], decoded[PATH_SIZE], line[4 * PATH_SIZE + 200];
    in_folder(wav, "in.wav");
    in_folder(opus, "coded.opus");
    in_folder(decoded, "decoded.wav");
    for (size_t k = 0; k < sizeof kilobits / sizeof *kilobits; k++) {
        result r = {0};
        double start = clock_now();
        for (size_t i = 0; i < test->count; i++) {
            pcv_error err;
            sound s;
            must(sound_read(&s, test->paths[i], RATE, &err), &err);
            must(sound_write(wav, s.samples, s.count, RATE, &err), &err);
            sound_free(&s);
            snprintf(line, sizeof line,
                     "opusenc --quiet --hard-cbr --bitrate %g %s %s && opusdec --quiet --rate %d %s %s", kilobits[k],
                     wav, opus, RATE, opus, decoded);
            if (system(line)) {
                fprintf(stderr, "audio_codecs: no numbers of Opus: opusenc and opusdec (opus-tools) do not run\n");
                return;
            }
            compare(&r, wav, decoded);
        }
        print("opus", "constant rate", kilobits[k], &r, clock_now() - start);
    }
}

int main(int count, char **arguments) {
    static const int usual[] = {24, 16, 8, 4};
    int books[BOOKS_MOST], given = count - 3 < BOOKS_MOST ? count - 3 : BOOKS_MOST;
    file_list train = {0}, test = {0};
    pcv_error err;
    if (count < 3 || !mkdtemp(folder)) {
        fprintf(stderr, "usage: audio_codecs TRAIN TEST [CODEBOOKS, descending...]\n");
        return PCV_USAGE;
    }
    for (int i = 0; i < given; i++) books[i] = atoi(arguments[3 + i]);
    must(file_list_add(&train, arguments[1], &err), &err);
    must(file_list_add(&test, arguments[2], &err), &err);
    printf("codec,setting,kbit/s,signal to noise (dB),log-spectral distance (dB),seconds\n");
    measure_rvq(&train, &test, given > 0 ? books : usual, given > 0 ? given : (int)(sizeof usual / sizeof *usual));
    measure_mulaw(&test);
    measure_opus(&test);
    file_list_free(&train);
    file_list_free(&test);
    path_remove(folder, NULL);
    return 0;
}
