/* perceiver.h - the public interface of libperceiver, and the only header that its programs include.
 *
 * libperceiver trains and runs autoregressive models over very long sequences: Perceiver AR
 * (Hawthorne et al. 2022, arXiv 2202.07765). One causally masked cross-attention reads a long input
 * into a few latents; a causally masked self-attention stack over the latents does the rest.
 *
 * A program that generates text with a trained run:
 *
 *     #include <perceiver.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *         pcv_error err;
 *         pcv_engine *engine = NULL;
 *         pcv_session *session = NULL;
 *         int32_t id = 0;
 *         int status = pcv_engine_open(&engine, "runs/books", NULL, &err);
 *         if (!status) status = pcv_session_open(&session, engine, NULL, &err);
 *         if (!status) status = pcv_session_feed_text(session, "It was", 6, &err);
 *         for (int i = 0; i < 200 && !status && id >= 0; i++) {
 *             size_t size;
 *             status = pcv_session_next(session, &id, &err);
 *             const char *bytes = status ? "" : pcv_session_text(session, id, &size);
 *             if (!status) fwrite(bytes, 1, size, stdout);
 *         }
 *         if (status) fprintf(stderr, "%s\n", err.message);
 *         pcv_session_close(session);
 *         pcv_engine_close(engine);
 *         return status;
 *     }
 *
 * Conventions. Every function that can fail returns a pcv_status, 0 for success, and then has filled
 * *err (which may be NULL) with one line that says what happened and what to do. Objects come from
 * pcv_X_open and go with pcv_X_close, which accept NULL.
 *
 * Threads. Any number of threads may use one engine at once: each generates through sessions of its own, or
 * evaluates, scores and looks. Their passes take turns, each on all threads of the engine; results are those of one
 * thread alone. Engines do not wait for each other. A session, settings and an output belong to one thread at a time,
 * and an engine closes last.
 *
 * What the library leaves alone: it prints nothing, and neither exits nor changes the process's environment, signals,
 * locale, allocators or number of OpenMP threads. Only a broken contract (NULL where an object is expected, an index
 * out of range) ends the process, with one line on standard error. Running out of memory is a status, wherever it
 * happens, and what was open stays usable: a session goes on when there is memory again. One thing is beyond us: where
 * OpenMP's runtime cannot start a thread it ends the process, so opening an engine tries whether they can be started.
 *
 * The first half of this header is stable; what stands below "experimental" may change. */
#ifndef PERCEIVER_H
#define PERCEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PCV_VERSION "0.1.0"
#define PCV_API     __attribute__((visibility("default")))

/* Status codes, and the exit codes of the program (those of sysexits.h). */
typedef enum pcv_status {
    PCV_OK = 0,
    PCV_USAGE = 64,       /* wrong call or flag, or a value that a flag does not take */
    PCV_DATA = 65,        /* an input file is damaged or not what it should be */
    PCV_NOINPUT = 66,     /* an input does not exist or cannot be read */
    PCV_NUMERIC = 70,     /* a loss or weight is not finite */
    PCV_MEMORY = 71,      /* memory does not suffice, or threads, or what a library below does with them */
    PCV_CANTCREATE = 73,  /* an output exists already or cannot be made */
    PCV_IO = 74,          /* reading or writing failed */
    PCV_INTERRUPTED = 75, /* stopped on request; what was done is saved and can be resumed */
    PCV_CONFIG = 78,      /* a file's setting is unknown or out of range, or settings do not go together */
} pcv_status;

typedef struct pcv_error {
    int code;
    char message[1024];
} pcv_error;

/* ------------------------------------------------------------------ settings
 * Everything that can be chosen about a model, its training and its sampling has one name, which is
 * a long option of the program and (with dots) a key of config.json. */

typedef enum pcv_group { PCV_MODEL, PCV_TRAINING, PCV_SAMPLING, PCV_EVALUATION, PCV_TOKENS, PCV_GROUPS } pcv_group;

typedef struct pcv_option {
    const char *name;     /* without dashes */
    const char *argument; /* what its value is: "N", "X", a list of names; NULL: a switch */
    const char *initial;  /* the default that is in force, as text */
    const char *help;     /* one sentence */
    const char *architectures; /* that have it, "perceiver-ar, transformer"; NULL: all, or the one that was chosen */
} pcv_option;

/* The i-th option of a group; false when there is none. */
PCV_API bool pcv_option_at(pcv_group group, int i, pcv_option *option);

typedef struct pcv_settings pcv_settings;

/* The same for what was chosen so far (NULL: nothing): of the options that the chosen architecture ("arch") has, with
 * the defaults of the dialect and preset. What *option says is valid until the next call with the same settings. */
PCV_API bool pcv_option_of(pcv_settings *settings, pcv_group group, int i, pcv_option *option);

PCV_API int pcv_settings_open(pcv_settings **settings, pcv_error *err);
PCV_API void pcv_settings_close(pcv_settings *settings);

/* Chooses a value; PCV_USAGE when there is no such setting or value. What is chosen here wins over a config
 * file, which wins over a preset, which wins over a dialect's and the built-in defaults, whatever the order of
 * the calls. Choosing a setting again replaces its value, but for "stop", of which there may be several. What the
 * model's architecture has not (pcv_option.architectures) is refused with PCV_USAGE by the calls that use it, unless a
 * preset or a config file said it, which may serve several architectures. */
PCV_API int pcv_settings_set(pcv_settings *settings, const char *name, const char *value,
                             pcv_error *err);

/* Takes the model and training settings of a config.json. */
PCV_API int pcv_settings_read(pcv_settings *settings, const char *path, pcv_error *err);

/* The threads that --threads comes to on this machine: at most the cores that this process may use. *asked takes
 * what it asks for, 0: that many; asked may be NULL. */
PCV_API int pcv_threads(const pcv_settings *settings, int64_t *asked);

/* ------------------------------------------------------------------ engine and session
 * An engine is a run's weights, loaded. A session is one timeline of tokens with its caches. */

typedef struct pcv_engine pcv_engine;
typedef struct pcv_session pcv_session;

typedef enum pcv_window {
    PCV_REFILL, /* full latents start again with half of them; every distribution equals
                   an uncached pass with that many latents (the published decoding) */
    PCV_EXACT,  /* every token recomputes the latents: the uncached distribution, always */
    PCV_SLIDE,  /* the oldest latent falls off: fastest, and allowed to differ */
} pcv_window;

PCV_API int pcv_engine_open(pcv_engine **engine, const char *run, const pcv_settings *settings,
                            pcv_error *err);
PCV_API void pcv_engine_close(pcv_engine *engine);

/* Opens an empty timeline; sampling settings (window, temperature, seed, ...) come from `settings`
 * (NULL: defaults). An empty timeline starts with the tokenizer's start token. */
PCV_API int pcv_session_open(pcv_session **session, pcv_engine *engine,
                             const pcv_settings *settings, pcv_error *err);
PCV_API void pcv_session_close(pcv_session *session);

/* Appends tokens. Any number, from none to far beyond the context. */
PCV_API int pcv_session_feed(pcv_session *session, const int32_t *ids, size_t count,
                             pcv_error *err);
PCV_API int pcv_session_feed_text(pcv_session *session, const char *text, size_t size,
                                  pcv_error *err);

/* Takes text as it comes; non-zero ends what it comes from. */
typedef int pcv_text_fn(void *context, const char *bytes, size_t size);

/* Appends a text file of any size, or standard input as "-", in pieces; each goes to `echo` (or NULL) first. */
PCV_API int pcv_session_feed_file(pcv_session *session, const char *path, pcv_text_fn *echo, void *context,
                                  pcv_error *err);

/* The vocabulary's logits for the next token; valid until the next call. NULL on failure. */
PCV_API const float *pcv_session_logits(pcv_session *session, pcv_error *err);

/* Samples the next token, appends it and stores it in *id; -1 when the model ended the document. */
PCV_API int pcv_session_next(pcv_session *session, int32_t *id, pcv_error *err);

/* The same for `count` different sessions of one engine, of any lengths, in as few passes over the weights as can be.
 * Each gets the token that it would get alone. */
PCV_API int pcv_batch_step(pcv_session *const *sessions, int64_t count, int32_t *ids, pcv_error *err);

/* Empties a timeline; or keeps its first `length` tokens (the start token is one): it goes on as if nothing had
 * followed them. PCV_USAGE when there are not so many, or the last of them have left the window. */
PCV_API int pcv_session_reset(pcv_session *session, pcv_error *err);
PCV_API int pcv_session_truncate(pcv_session *session, int64_t length, pcv_error *err);

/* Opens a session with the same tokens and settings, whose caches are copied, not computed again; it samples with
 * another seed. */
PCV_API int pcv_session_fork(pcv_session **fork, const pcv_session *session, uint64_t seed, pcv_error *err);
PCV_API uint64_t pcv_session_seed(const pcv_session *session);

/* The bytes that a token stands for; *size is 0 for a token that stands for none. */
PCV_API const char *pcv_session_text(const pcv_session *session, int32_t id, size_t *size);

/* Why pcv_generate ended. */
typedef enum pcv_end { PCV_END_LENGTH, PCV_END_DOCUMENT, PCV_END_STOP, PCV_END_CALLER } pcv_end;

typedef struct pcv_generation {
    int64_t tokens;
    pcv_end end;
    double first_seconds; /* until the first token: the prompt */
    double seconds;       /* for all tokens behind the first */
} pcv_generation;

/* Generates up to the session's --length tokens, streaming their text, whole UTF-8 characters only (bytes that are no
 * UTF-8 pass through); ends in front of a --stop text, of which nothing is ever sent. */
PCV_API int pcv_generate(pcv_session *session, pcv_text_fn *text, void *context,
                         pcv_generation *generation, pcv_error *err);

/* The same for `count` different sessions of one engine, side by side: the text of sessions[i] goes to contexts[i], and
 * what came of it to generations[i]. */
PCV_API int pcv_generate_texts(pcv_session *const *sessions, int64_t count, pcv_text_fn *text, void *const *contexts,
                               pcv_generation *generations, pcv_error *err);

PCV_API int pcv_engine_is_text(const pcv_engine *engine); /* its documents can go through pcv_generate */

/* The bytes that a token stands for; *size is 0 for a token that stands for none. */
PCV_API const char *pcv_engine_text(const pcv_engine *engine, int32_t id, size_t *size);

PCV_API int64_t pcv_engine_vocabulary(const pcv_engine *engine);
PCV_API int pcv_engine_tells_motion(const pcv_engine *engine); /* from one frame to the next: pcv_predict takes two */
PCV_API int pcv_engine_tells_films(const pcv_engine *engine);  /* again: pcv_predict takes their folders */
PCV_API const char *pcv_engine_kind(const pcv_engine *engine); /* of data: "text", "image", ... */
PCV_API int64_t pcv_session_length(const pcv_session *session);

/* ------------------------------------------------------------------ experimental */

/* ---- numbers and lines, as the program reads and writes them */

/* A text as a number within [low, high]: decimal digits, with a '-', a point or an exponent where they belong, and
 * nothing else. PCV_USAGE says what is wrong, behind `where`: the flag. */
PCV_API int pcv_read_whole(const char *where, const char *text, int64_t low, int64_t high, int64_t *value,
                           pcv_error *err);
PCV_API int pcv_read_real(const char *where, const char *text, double low, double high, double *value, pcv_error *err);

/* "16,64,256": at least one and at most `most` whole numbers. */
PCV_API int pcv_read_wholes(const char *where, const char *text, char separator, int64_t low, int64_t high,
                            int64_t *values, int most, int *count, pcv_error *err);

/* What makes "1 token" of one and "2 tokens" of two: "" or "s". */
PCV_API const char *pcv_plural(int64_t count);

/* `text` as one line for people in out[0..capacity): control characters, ends of lines, overrides of the direction of
 * writing and bytes that are no UTF-8 as \x1b, \n, \u202e. What does not fit ends in "..." behind a whole character. */
PCV_API void pcv_line(char *out, size_t capacity, const char *text);

/* ---- watching long work */

/* Called now and then from long work. The answer: 0 go on; PCV_SAVE: save and go on; PCV_STOP: save and
 * stop. */
enum { PCV_STOP = 1, PCV_SAVE = 2 };
typedef struct pcv_progress {
    const char *stage; /* what is going on: "training", "evaluating" */
    double done, total; /* total 0: nobody knows */
    double seconds;   /* since the stage began */
    double rate;      /* units per second */
    const char *unit; /* of rate: "tokens"; NULL: there is no rate */
    const char *line; /* a summary for people, or NULL */
} pcv_progress;
typedef int pcv_progress_fn(void *context, const pcv_progress *progress);

/* One line for people: warnings, validation results, samples. */
typedef void pcv_message_fn(void *context, const char *line);

typedef struct pcv_watch {
    pcv_progress_fn *progress;
    pcv_message_fn *message;
    void *context;
} pcv_watch;

/* Who is asked some times a second while the process waits for another one: for standard input, or for who reads a
 * pipe. There is one for the process; NULL: nobody, as at first. */
PCV_API void pcv_watch_waiting(const pcv_watch *watch);

/* ---- files that are made
 * A file has its name only when it is whole and on the disk; until then it has another one in the same folder. */

/* Can a file of this name be made? Long work asks before it begins. "-" is standard output. */
PCV_API int pcv_output_check(const char *path, pcv_error *err);
/* The same of a text, whose name must not say that it is a picture, music, sound or weights; and of logits. */
PCV_API int pcv_text_check(const char *path, pcv_error *err);
PCV_API int pcv_logits_check(const char *path, pcv_error *err);

typedef struct pcv_output pcv_output;
PCV_API int pcv_output_open(pcv_output **output, const char *path, pcv_error *err);
PCV_API int pcv_output_write(void *output, const char *bytes, size_t size); /* a pcv_text_fn; remembers what failed */
PCV_API int pcv_output_commit(pcv_output *output, pcv_error *err); /* gives it its name, unless a write failed */
PCV_API void pcv_output_close(pcv_output *output);                 /* leaves nothing, if it was not committed */

/* ---- generating files */

/* Documents that are no text go to a file as a whole. */
typedef struct pcv_document_options {
    const char *output;       /* file to make; its ending says the format: .png or .jpg for pictures, .mid for music,
                               * .wav, .flac, .ogg, .opus or .mp3 for sound; without one the first of these */
    const char *const *given; /* files that are continued, NULL-terminated, or NULL; several: pictures, in one sheet */
    double keep;              /* the part of their tokens that is kept, 0 to 1 */
    int columns, rows;        /* a sheet of so many pictures; 0: one document */
    int scale;                /* each pixel of a picture becomes a square of so many a side; 0: as 1 */
} pcv_document_options;
PCV_API int pcv_generate_document(pcv_engine *engine, const pcv_document_options *options,
                                  const pcv_settings *settings, const pcv_watch *watch,
                                  pcv_generation *generation, pcv_error *err);

/* ---- data sets */

typedef struct pcv_prepare_options {
    const char *kind;              /* "text", "bytes", "image", "midi", "audio", "points", "pairs", "video" */
    const char *const *inputs;     /* files and folders to be split, NULL-terminated, or NULL; "-": standard input */
    const char *const *splits[3];  /* given train, validation, test files, or NULL */
    const char *const *include;    /* patterns of the files to take, NULL-terminated; NULL: all */
    const char *const *exclude;    /* patterns of files and folders to leave out, or NULL */
    const char *documents;         /* "files" (NULL), "folders", "lines", "paragraphs", "jsonl:FIELD", "separator:T" */
    const char *labels;            /* what files are: "folders" or a "FILE.csv"; NULL: they have no labels */
    const char *task;              /* of text: "next" (NULL), or "mask": some of it is hidden and to be found */
    const char *output;            /* folder to make */
    const char *tokenizer;         /* "bytes-262", "sentencepiece:8000", "FILE.model", ...; NULL: the kind's first */
    const pcv_settings *settings;  /* of the tokenizer: group PCV_TOKENS; or NULL */
    const char *split_percent;     /* "90,5,5" and splits by name when NULL */
    uint64_t seed;                 /* of the split */
} pcv_prepare_options;

typedef struct pcv_prepare_report {
    int64_t documents[3], tokens[3], bytes[3]; /* train, validation, test */
    int64_t skipped, warned; /* files that did not become part, and files that did in spite of a fault */
    int64_t bad_lines;       /* of JSON */
} pcv_prepare_report;

/* Encodes files into a data set folder. Files that cannot be read, that are binary where text is wanted, empty, or the
 * same as another, are skipped: watch->message tells the first few and how many of each kind, dataset.json lists all.
 * The status says so only when a split that was given has none that is good, or there is none to train on. */
PCV_API int pcv_prepare(const pcv_prepare_options *options, const pcv_watch *watch,
                        pcv_prepare_report *report, pcv_error *err);

/* ---- planning and training */

typedef struct pcv_plan_part {
    char name[48];
    int64_t parameters;
} pcv_plan_part;

typedef struct pcv_plan_precision {
    const char *name; /* of --precision */
    double seconds;   /* of a step */
} pcv_plan_precision;

typedef struct pcv_plan_report {
    int64_t context, latents; /* of one sequence; latents 0: the architecture has none */
    int64_t parameters;
    int parts;
    pcv_plan_part part[16];
    double flops_cross, flops_index, flops_self, flops_head; /* of one forward pass of one sequence */
    double flops_step;                                       /* of a training step: forward, backward */
    int64_t bytes_parameters, bytes_gradients, bytes_optimizer, bytes_activations, bytes_total;
    int64_t bytes_program;   /* beside the total: the program and its kernels' buffers, measured by the probe */
    int64_t bytes_recompute; /* total with everything recomputed */
    int64_t bytes_available; /* what this machine has free */
    double step_seconds;     /* from a short probe; 0 when none was made */
    double tokens_per_second;
    int precisions; /* that the device has, and the probe timed */
    pcv_plan_precision precision[4];
    int64_t targets_per_step;
    bool fits;
    /* The most that fits with everything else as it is, as multiples of 1/16 of a power of two; 0: nothing does. */
    int64_t largest_context, largest_batch; /* context 0: the data say how many inputs there are */
} pcv_plan_report;

/* What a training step needs, without training. probe_seconds: to time one, in each precision; 0: time nothing. */
PCV_API int pcv_plan(const pcv_settings *settings, const char *dataset, double probe_seconds, const pcv_watch *watch,
                     pcv_plan_report *report, pcv_error *err);

typedef struct pcv_train_options {
    const char *dataset; /* folder or generator ("copy:1024", docs/data.md); NULL with resume: the run's */
    const char *run;     /* folder to make, or to go on with */
    bool resume;
    bool other_data; /* a resumed run goes on even where the data are not those it was trained on */
} pcv_train_options;

typedef struct pcv_train_report {
    int64_t steps, tokens;
    double seconds, loss, validation_bits, best_validation_bits;
    int64_t best_update; /* whose weights the run's model.safetensors holds, where there was a validation */
    const char *unit;    /* of both validations: "bits per token", or what a model of numbers is measured by */
} pcv_train_report;

/* Trains until the step or minute limit, or until watch->progress asks to stop (PCV_INTERRUPTED
 * then, with everything saved). */
PCV_API int pcv_train(const pcv_train_options *options, const pcv_settings *settings,
                      const pcv_watch *watch, pcv_train_report *report, pcv_error *err);

/* ---- evaluation
 * Targets of one window are correlated, so standard errors count windows; of a single window there is none: NAN. */

typedef struct pcv_bucket {
    int64_t from, to; /* target positions, or context lengths: [from, to) */
    int64_t tokens;
    double loss, standard_error; /* nats per token */
} pcv_bucket;

enum { PCV_BUCKETS = 40 };

typedef struct pcv_evaluation {
    int64_t tokens, bytes, documents;
    int64_t words; /* of text that white space cuts into words: nine of ten bytes are letters, digits or white
                      space, one of ten a digit at most, and a word has 16 bytes at most on average; else 0 */
    double loss; /* nats per token */
    double word_perplexity; /* exp(nats / words), whatever the tokens are; 0: no words */
    double bits_per_token, bits_per_byte, perplexity, accuracy;
    double bits_per_dim;        /* of pictures; 0: of none */
    double bits_per_second;     /* of sound; 0: of none */
    double standard_error;      /* of loss; NAN: undefined */
    double standard_error_bits; /* of bits_per_byte */
    double seconds;
    int64_t classes;        /* that documents belong to; 0: none, and so with the rest */
    double accuracy_error;  /* standard error of accuracy, a fraction */
    double accuracy_top5;   /* the right class among the five likeliest */
    double calibration;     /* expected calibration error: how far accuracy and certainty are apart, in 15 bins */
    double majority;        /* accuracy of naming the split's most frequent class */
    const char *unit;       /* of bits_per_token: it may be of another measure, where outputs are numbers; or NULL */
    bool numbers;           /* outputs are numbers, and loss is how far they are off */
    double of_zeros, of_means; /* what it would be of zeros, and of each example's own mean */
    bool film;              /* pixels, samples and a class are told again, and loss is their weighted sum; in dB: */
    double image_psnr, image_psnr_mean;    /* of what is told, and of each film's mean colour */
    double audio_psnr, audio_psnr_silence; /* 0: there is no sound */
    int64_t latents, context, stride;
    int positions, contexts;
    pcv_bucket position[PCV_BUCKETS]; /* by index of the target in its document */
    pcv_bucket context_length[PCV_BUCKETS]; /* the same targets behind growing prefixes */
} pcv_evaluation;

/* Scores every target of a split once. Reads split, latents, context, stride, ... from settings; examples and seed are
 * of generated data, and PCV_USAGE with other. */
PCV_API int pcv_evaluate(pcv_engine *engine, const char *dataset, const pcv_settings *settings,
                         const pcv_watch *watch, pcv_evaluation *result, pcv_error *err);

/* What a model that answers (architectures perceiver and perceiver-io) says of a file: how likely each class is; or its
 * text, each `hidden` in it filled in; or, where latents are asked for, what it made of the file. */
typedef struct pcv_predict_options {
    const char *path;   /* a file of the kind that the run was trained on */
    const char *second; /* the frame behind it, of a run that tells motions; else NULL */
    const char *hidden; /* in a text stands for a token that is to be found: "_"; NULL: nothing does */
    bool latents;
} pcv_predict_options;

typedef struct pcv_prediction {
    const char *path; /* as it was given */
    int64_t classes;  /* 0: the answer is none */
    const char *const *class_name; /* [classes], valid as long as the engine is open */
    float *probability;            /* [classes] */
    char *text; /* [size], a zero behind it; NULL: the answer is none */
    size_t size;
    int64_t filled; /* places */
    int64_t rows, channels;
    float *latents; /* [rows, channels], or NULL */
    int64_t width, height;
    float *motion; /* [height, width, 2] how far pixels move to the right and down, in pixels; or NULL */
    int64_t frames, samples;
    double rate;  /* samples a second */
    float *film;  /* [frames, height, width, 3] red, green and blue from 0 to 1, told again; or NULL */
    float *sound; /* [samples] beside them; or NULL */
} pcv_prediction;

/* PCV_USAGE: the run's model does not answer. PCV_DATA: the file is not of its kind, or damaged. */
PCV_API int pcv_predict(pcv_engine *engine, const pcv_predict_options *options, const pcv_settings *settings,
                        pcv_prediction *prediction, pcv_error *err);
PCV_API void pcv_prediction_free(pcv_prediction *prediction);

/* Motions as a .flo file, or drawn as .png: a colour is a direction, its strength a distance, full for the largest.
 * check refuses other endings. */
PCV_API int pcv_motion_check(const char *path, pcv_error *err);
PCV_API int pcv_motion_save(const pcv_prediction *prediction, const char *path, pcv_error *err);

/* A film as pictures in a folder, frame-0001.png and so on, and sound.wav. */
PCV_API int pcv_film_save(const pcv_prediction *prediction, const char *folder, pcv_error *err);

/* Their latents as a .safetensors file, a tensor [rows, channels] for each path, or a .csv, a line for each latent. */
PCV_API int pcv_predictions_save(const pcv_prediction *list, int count, const char *path, pcv_error *err);

/* As pcv_evaluate, and which class was taken for which: counts[right * classes + answer], which the caller gives to
 * pcv_counts_free; names are valid as long as the engine is open. PCV_USAGE: the run tells no classes apart. */
PCV_API int pcv_confusion(pcv_engine *engine, const char *dataset, const pcv_settings *settings, const pcv_watch *watch,
                          pcv_evaluation *result, int64_t **counts, const char *const **names, pcv_error *err);
/* Which was taken for which as a .csv or .svg; check refuses other endings of a name. */
PCV_API int pcv_confusion_check(const char *path, pcv_error *err);
PCV_API int pcv_confusion_write(const char *path, const int64_t *counts, const char *const *names, int64_t classes,
                                pcv_error *err);
PCV_API void pcv_counts_free(int64_t *counts);

/* One way of scoring the targets that all points of a sweep share. */
typedef struct pcv_sweep_point {
    int64_t latents, context, stride;
    int64_t tokens; /* scored */
    double loss;    /* nats per token */
    double standard_error; /* of loss */
    double bits_per_token, bits_per_byte, accuracy;
    double seconds, seconds_per_token;
} pcv_sweep_point;

/* What more latents buy, or a longer context: kind is "latents" or "context". values[count] are tried in turn;
 * count 0 takes a list that suits the model, at most PCV_BUCKETS. Fills point[*points]. */
PCV_API int pcv_sweep(pcv_engine *engine, const char *dataset, const char *kind, const int64_t *values, int count,
                      const pcv_settings *settings, const pcv_watch *watch, pcv_sweep_point *point, int *points,
                      pcv_error *err);
/* Draws a sweep: quality and time against what was varied, as an SVG file. check refuses other endings of a name,
 * before there is anything to draw. */
PCV_API int pcv_sweep_check(const char *path, pcv_error *err);
PCV_API int pcv_sweep_draw(const char *path, const char *kind, const pcv_sweep_point *point, int points,
                           pcv_error *err);

typedef struct pcv_scores {
    int64_t count, vocabulary;
    int64_t bytes;   /* of the whole text, as it was before a tokenizer normalized it; 0: of no text, or unknown */
    int32_t *ids;    /* the tokens of the file, without the start token */
    double *logprob; /* natural logarithm, each given everything before it */
    float *logits;   /* [count, vocabulary], or NULL when not asked for */
} pcv_scores;

/* Log-probability of every token of a sequence that begins with the start token (it is put in
 * front when it is not there). */
PCV_API int pcv_score(pcv_engine *engine, const int32_t *ids, size_t count, bool logits,
                      const pcv_settings *settings, pcv_scores *scores, pcv_error *err);
PCV_API int pcv_score_file(pcv_engine *engine, const char *path, bool are_ids, bool logits,
                           const pcv_settings *settings, pcv_scores *scores, pcv_error *err);

/* The same in pieces, for files of any length: takes the scores of tokens first, first + 1, ..., of `total`, which are
 * valid until it returns; non-zero ends the work. */
typedef int pcv_scores_fn(void *context, int64_t first, int64_t total, const pcv_scores *some);

typedef struct pcv_score_options {
    const char *path;
    bool are_ids;       /* whitespace-separated token ids in place of what the run reads */
    const char *logits; /* safetensors file to make, float32 [tokens, vocabulary]; or NULL */
    pcv_scores_fn *take;
    void *context;
} pcv_score_options;
PCV_API int pcv_score_stream(pcv_engine *engine, const pcv_score_options *options, const pcv_settings *settings,
                             const pcv_watch *watch, pcv_error *err);

PCV_API int pcv_scores_save(const pcv_scores *scores, const char *path, pcv_error *err);
PCV_API void pcv_scores_free(pcv_scores *scores);

/* What the cross-attention and the index heads looked at: rows queries, evenly spread from position `first_query` of
 * `inputs` on, against bins of the inputs; value[row bins + bin] is the probability, a mean over the heads of both. An
 * index head may look at nothing, so that a row's sum may be less than 1. */
typedef struct pcv_attention {
    int64_t inputs, first_query, rows, bins;
    int64_t columns; /* of a picture, whose inputs lie in rows of so many: a model that answers looked at it, and there
                        is a row for each latent; 0: inputs follow each other */
    float *value;
} pcv_attention;

/* The targets are those of a file (text, or token ids) or, path NULL, of a fresh document of the generator that the
 * run was trained on. size: rows and bins at most. */
PCV_API int pcv_attend(pcv_engine *engine, const char *path, bool are_ids, int64_t size,
                       const pcv_settings *settings, const pcv_watch *watch, pcv_attention *map, pcv_error *err);
/* Draws it as a PNG or JPEG: the latents' positions downward, the inputs' to the right, colour the logarithm of the
 * probability in a bin, from 1 (white) to 10^-6 and less (black). What latents saw of a picture is a sheet, a small
 * picture for each latent, white where it looked most. check refuses other endings of a name. */
PCV_API int pcv_attention_check(const char *path, pcv_error *err);
PCV_API int pcv_attention_draw(const char *path, const pcv_attention *map, pcv_error *err);
PCV_API void pcv_attention_free(pcv_attention *map);

/* What predicting the token behind one position looked at. Places are the numbers of tokens in the file as in
 * pcv_attention: 0 is the start token, which is put in front where it is not there. */
typedef struct pcv_place {
    int64_t place;
    int64_t match; /* of an index head: so many tokens up to it are those up to the position, 256 at most; else 0 */
    double probability;
} pcv_place;

/* What one index head looked at: earlier places behind the same `order` tokens, of which it took the token behind. */
typedef struct pcv_index_head {
    int64_t order, count;
    pcv_place *place; /* [count], the most probable first */
    double nothing;   /* probability of no place at all */
} pcv_index_head;

typedef struct pcv_guess {
    int32_t id;
    double probability;
} pcv_guess;

typedef struct pcv_attended {
    int64_t token;        /* the position, the last of the inputs */
    int64_t first, count; /* the inputs are tokens first to first + count - 1 */
    int32_t *ids;         /* [count] */
    int64_t heads;
    pcv_index_head *head; /* [heads] */
    int64_t seen;         /* the last so many inputs are what the position's cross-attention saw; 0: there is none */
    int64_t places;
    pcv_place *place;     /* [places] of them, the most probable first: means over the heads */
    int64_t guesses;
    pcv_guess *guess;     /* [guesses] the most probable next tokens */
    pcv_guess next;       /* the token that followed; id -1: none did */
} pcv_attended;

/* token -1: the last one; as many inputs in front of it as the context holds are read. top: places and guesses at
 * most. Files and generated documents as in pcv_attend. A model without a first cross-attention tells of its index
 * heads alone; PCV_CONFIG for one that has neither. */
PCV_API int pcv_attend_token(pcv_engine *engine, const char *path, bool are_ids, int64_t token, int64_t top,
                             const pcv_settings *settings, const pcv_watch *watch, pcv_attended *attended,
                             pcv_error *err);
PCV_API void pcv_attended_free(pcv_attended *attended);

/* The text around ids[at] as one line of at most `columns` columns, 4 to 256, of a terminal: that token in brackets,
 * which stand in the same column always; at -1: the first tokens, without brackets. Characters are whole, and escaped
 * as in pcv_line, a backslash too; tokens without text are <start>, <end>, <pad> or <id>, and those that are no text
 * numbers. line [PCV_EXCERPT_BYTES(columns)] */
#define PCV_EXCERPT_BYTES(columns) (4 * (columns) + 1)
PCV_API void pcv_excerpt(const pcv_engine *engine, const int32_t *ids, int64_t count, int64_t at, int columns,
                         char *line);

/* ---- comparing architectures */

typedef struct pcv_compare_options {
    const char *dataset, *output;
    const char *archs; /* "perceiver-ar,transformer@1024,transformer-xl@256x4": names, with contexts and rows of a batch
                          for the trainings; NULL: all */
    const char *depths, *contexts; /* of the measured steps: "1,6,12,36"; NULL: a usual list */
    const char *rates;            /* learning rates to choose from by short trainings; NULL: the settings' own */
    bool cost_only, quality_only;
    bool equal_step;      /* contexts of the trainings: those at which a step takes as long as the first one's */
    bool resume, dry_run;
    double memory_limit;  /* GiB of a step; 0: what is available */
    double time_limit;    /* seconds: longer steps end a row */
    double minutes;       /* of each training; 0: the settings', or 30 */
} pcv_compare_options;

/* Measures training steps of several architectures, trains each for the same time with as many parameters, scores
 * the same targets, and writes cost.csv, quality.csv, charts and index.html into the output folder. Settings are
 * changed. */
PCV_API int pcv_compare(const pcv_compare_options *options, pcv_settings *settings, const pcv_watch *watch,
                        pcv_error *err);

/* ---- information and timing */

/* A description of a run, a data set or a safetensors file, as text for people (results first; the tensors of a run
 * on request) or as JSON, which has all; the caller frees it with pcv_text_free. */
typedef enum pcv_info_form { PCV_INFO_TEXT, PCV_INFO_TENSORS, PCV_INFO_JSON } pcv_info_form;
PCV_API int pcv_info(const char *path, pcv_info_form form, char **description, pcv_error *err);

/* What `--device` can name on this machine, a line for each, with what was found or why nothing was; the caller
 * frees it with pcv_text_free. */
PCV_API int pcv_devices(char **description, pcv_error *err);
PCV_API void pcv_text_free(char *text);

/* One measured line of a benchmark. */
typedef struct pcv_timing {
    char name[64], level[16]; /* what, and at which kernel level */
    double seconds;           /* median of one call */
    double seconds_min;
    double gflops, gigabytes_per_second;
    double tokens_per_second;
    int64_t peak_bytes;
    int64_t tokens;
} pcv_timing;
typedef void pcv_timing_fn(void *context, const pcv_timing *timing);

/* what: "ops", "train" or "generate". */
PCV_API int pcv_bench(const char *what, const pcv_settings *settings, pcv_timing_fn *report,
                      void *context, const pcv_watch *watch, pcv_error *err);

/* The kernel levels of this machine, best first, as names; NULL-terminated. */
PCV_API const char *const *pcv_kernel_levels(void);

#ifdef __cplusplus
}
#endif

#endif
