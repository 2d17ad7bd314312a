/* What the plug-in around the SentencePiece library offers; it is C++, everything else is not. */
#ifndef PLUGINS_SENTENCEPIECE_H
#define PLUGINS_SENTENCEPIECE_H

#include <stddef.h>
#include <stdint.h>

enum { SENTENCEPIECE_VERSION = 1, SENTENCEPIECE_MESSAGE = 256 };

/* Kinds of pieces. */
enum { PIECE_TEXT, PIECE_UNKNOWN, PIECE_CONTROL, PIECE_BYTE };

/* The next line of a text to learn from, without its end: 0 when there is none. */
typedef int sentencepiece_line(void *context, const char **line, size_t *size);

typedef struct sentencepiece_table {
    int version;
    /* NULL when the file is no model; message[SENTENCEPIECE_MESSAGE] says why. */
    void *(*open)(const char *path, char *message);
    void (*close)(void *model);
    int (*pieces)(const void *model);
    /* The piece as the model spells it, and its kind. */
    const char *(*piece)(const void *model, int id, size_t *size, int *kind);
    /* Ids of a text of valid UTF-8: how many, or -1 when there are more than `most` or it failed. */
    int64_t (*encode)(const void *model, const char *text, size_t size, int32_t *ids, size_t most);
    /* Learns a unigram model of so many pieces; writes PREFIX.model and PREFIX.vocab. 0: done. */
    int (*train)(int pieces, uint32_t seed, const char *prefix, sentencepiece_line *next, void *context, char *message);
} sentencepiece_table;

#endif
