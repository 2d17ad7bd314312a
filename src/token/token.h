/* Tokenizers: what files hold to token ids, and back.
 *
 * A tokenizer is a type (the functions), the settings that it was made with, and the ids that matter to others. A
 * file holds one type, or two that share their events or bytes; the table in token.c lists them. A data set and a
 * run carry tokenizer.json, from which it is opened. Text goes through encode and piece, stream-wise; pictures,
 * music and sound go through read and write, a whole file at a time. docs/modalities.md says how to add one.
 *
 *     tokenizer t;
 *     TRY(tokenizer_open(&t, "bytes", NULL, err));
 *     t.type->encode(&t, text, size, ids);            // text is any bytes
 *     const char *piece = t.type->piece(&t, id, &size);
 *     tokenizer_close(&t); */
#ifndef TOKEN_TOKEN_H
#define TOKEN_TOKEN_H

#include "base/file.h"
#include "config/token_config.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tokenizer tokenizer;
struct text;    /* base/text.h */
struct picture; /* media/picture.h */

/* Ids that grow. */
typedef struct id_list {
    int32_t *v;
    size_t count, capacity;
    int64_t bytes; /* of the texts that they were read from */
} id_list;
int id_list_add(id_list *list, const int32_t *ids, size_t count, pcv_error *err);
void id_list_free(id_list *list);

enum { TOKEN_AXES = 4 };

typedef struct token_type {
    const char *name, *help;
    const char *kind; /* of `prepare KIND`; the first type of a kind is its default */
    const char *unit; /* what a token is, for people: "byte", "event" */
    const char *extension; /* of the files that write makes: ".png"; NULL: text */
    const char *const *keys; /* rows of token_fields that it reads, NULL-terminated; NULL: none */

    /* Fills in *t from t->config, which is checked against the fields' ranges. */
    int (*open)(tokenizer *t, pcv_error *err);
    void (*close)(tokenizer *t); /* frees t->state; or NULL */

    /* Text. Stores the ids of `size` bytes, at most tokenizer_most(size); returns how many. */
    size_t (*encode)(const tokenizer *t, const void *bytes, size_t size, int32_t *ids);
    /* The same for a text that comes in parts: not the last one is encoded as far as its ids hold whatever follows;
     * what is behind *used bytes must come again in front of the next part. NULL: parts can be cut anywhere. */
    size_t (*encode_part)(const tokenizer *t, const void *bytes, size_t size, bool last, int32_t *ids, size_t *used);
    /* The bytes of a token; *size 0 for one that stands for none. */
    const char *(*piece)(const tokenizer *t, int32_t id, size_t *size);

    /* Whole files, in place of encode and piece, or beside them for texts that cannot be cut anywhere. read appends
     * the file's tokens without start and end; PCV_DATA or PCV_NOINPUT: the file is skipped with that message; 0 and a
     * message: it is used, but the user should know. Several threads read at once; what calls it is tokenizer_read.
     * write makes the file that tokens stand for, whatever they are: incomplete ones too. */
    int (*read)(const tokenizer *t, const char *path, id_list *ids, pcv_error *err);
    int (*write)(const tokenizer *t, const int32_t *ids, size_t count, const char *path, pcv_error *err);
    /* PCV_USAGE where the name's ending is that of no format that write knows; asked before there is anything. */
    int (*check_name)(const tokenizer *t, const char *path, pcv_error *err);
    /* A PNG that shows what cannot be seen in such a file: a piano roll, a spectrogram; or NULL. */
    int (*draw)(const tokenizer *t, const int32_t *ids, size_t count, const char *path, pcv_error *err);
    /* The tokens of a document as a picture of t->config.size pixels a side, so that several can stand on one sheet;
     * bits are told per dimension, too. NULL: they are no picture. */
    int (*picture)(const tokenizer *t, const int32_t *ids, size_t count, struct picture *p, pcv_error *err);
    /* A WAV of such a file, by what this machine may have; PCV_NOINPUT: it has not; or NULL. */
    int (*play)(const char *file, const char *wav, pcv_error *err);

    /* The rest may be NULL. */

    /* Sampling: logits of what cannot follow ids[count] (a document so far, the start token included) become
     * -infinity; at least one id stays. The others may grow, to take over a part of what was lost. */
    void (*mask)(const tokenizer *t, const int32_t *ids, size_t count, float *logits);
    /* Where token `index` of a document (0: the start token) lies on each of t->axes axes. */
    void (*position)(const tokenizer *t, int64_t index, int32_t *at);
    /* v [t->vector_size] = what is known of a token before any training, alike for tokens that mean alike; of a mean
     * squared length of 1, or zeros where nothing is known. */
    void (*vector)(const tokenizer *t, int32_t id, float *v);
    /* The numbers in [-1, 1] that content stands for, of tokens ids[count] behind the start token: out [count] in the
     * order of rows, columns and channels, where the tokenizer has a shape. Answers have a unit of their own, and are
     * not-a-numbers where they are not known. */
    void (*values)(const tokenizer *t, const int32_t *ids, size_t count, float *out);
    /* Whether read would take a file, before the type has learned what it needs for that; NULL: it may be any. */
    int (*check)(const tokenizer *t, const char *path, pcv_error *err);
    /* Learns from the files to train on; and keeps what was learned in files of its own beside tokenizer.json. */
    int (*train)(tokenizer *t, const char *const *paths, size_t count, uint64_t seed, const pcv_watch *watch,
                 pcv_error *err);
    int (*save)(const tokenizer *t, const char *folder, pcv_error *err);
    int (*load)(tokenizer *t, const char *folder, pcv_error *err);
    /* Appends all that decides, beside the type and the number of ids, what an id means: settings, and what was
     * learned. */
    void (*meaning)(const tokenizer *t, struct text *out);
} token_type;

struct tokenizer {
    const token_type *type;
    token_config config;
    int64_t vocab;
    int32_t pad, start, end; /* every document is start, tokens, end; end -1: documents have none */
    int32_t first;           /* ids from here on are content */
    double second;           /* tokens of a second of sound; 0: of no sound */
    int64_t length;          /* tokens of content in every document; 0: any number */
    bool rewrites;           /* the bytes of a text's pieces are not the text's own: it is normalized first */
    bool spaced;             /* the first piece of a text begins with a space that the text has not */
    int axes;                /* of positions; 0: a token's index is all there is */
    int64_t axis_rows[TOKEN_AXES]; /* positions of each axis are below this */
    int64_t shape[3];        /* rows, columns and channels of a document's values; 0, 0: a line of any length */
    int64_t frames;          /* pictures of that shape in a document; 0: one, or none */
    int64_t samples;         /* of sound behind these */
    int64_t answers;         /* numbers behind them for each pixel, which are to be told from them; 0: none */
    int32_t mask;            /* the id that stands for what is hidden; pad where the type has none */
    int64_t period;          /* positions repeat after so many tokens behind the start token; 0: never */
    int64_t vector_size;     /* of type->vector */
    void *state;             /* the type's own */
};

extern const token_type token_bytes, token_bytes_262, token_sentencepiece, token_image, token_midi, token_midi_389,
    token_mulaw, token_rvq, token_points, token_flow, token_film;
extern const token_type *const token_types[]; /* ends with NULL */

/* config NULL: the defaults. A tokenizer that learns is of use after train or load. */
int tokenizer_open(tokenizer *t, const char *name, const token_config *config, pcv_error *err);
void tokenizer_close(tokenizer *t);

/* Takes a choice apart: a type's name, "sentencepiece:8000", or "FILE.model", whose details go to *config. */
int tokenizer_choose(const char *choice, const char **name, token_config *config, pcv_error *err);

/* What `prepare KIND` takes. */
typedef struct data_kind {
    const char *name;
    const char *types; /* kind of the token types that it is for */
    const char *unit;  /* what a token is, for people, with less than so many ids; else a token is a token */
    int64_t ids;
    bool raw; /* a text of any bytes, which need form no characters */
    const char *named_by; /* the ending of files that name documents, of which a folder's others are parts; or NULL */
    bool (*first)(const char *name); /* a document is a folder with such files, and named by the first; or NULL */
} data_kind;
extern const data_kind data_kinds[];             /* ends with a NULL name */
const data_kind *data_kind_of(const char *name); /* NULL: it is none of them */

/* The default type of a kind of data, NULL when there is none. */
const token_type *tokenizer_of_kind(const char *kind);

/* type->read of a file to learn from: one that gives no tokens at all is PCV_DATA, and err->message is empty where
 * there is nothing to say. */
int tokenizer_read(const tokenizer *t, const char *path, id_list *ids, pcv_error *err);
/* The same of a file to score or to continue, which may be empty, and "-" is standard input; what there is to say is
 * told. */
int tokenizer_read_any(const tokenizer *t, const char *path, id_list *ids, const pcv_watch *watch, pcv_error *err);

static inline size_t tokenizer_most(size_t size) { return 2 * size + 64; }

/* Positions of a tokenizer with axes; the first parameter is a tokenizer. place: the least index from which on
 * positions are the same as from `index` on. */
void tokenizer_position(const void *t, int64_t index, int32_t *at);
int64_t tokenizer_place(const void *t, int64_t index);

/* A digest of what the ids mean: the same for tokenizers that turn the same tokens into the same things. */
int tokenizer_meaning(const tokenizer *t, char hex[HASH_TEXT], pcv_error *err);

/* Ids that sampling must never produce: padding, starts, reserved ones. */
static inline bool tokenizer_may_sample(const tokenizer *t, int32_t id) {
    return id == t->end || id >= t->first;
}

/* Are documents films: frames, and no answers behind them? */
static inline bool tokenizer_is_film(const tokenizer *t) { return t->frames > 0 && !t->answers; }

/* tokenizer.json, and the type's own files, in a folder. */
int tokenizer_save(const tokenizer *t, const char *folder, pcv_error *err);
int tokenizer_load(tokenizer *t, const char *folder, pcv_error *err);

#endif
