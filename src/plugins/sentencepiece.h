/* What the plug-in around the SentencePiece library offers; it is C++, everything else is not. */
#ifndef PLUGINS_SENTENCEPIECE_H
#define PLUGINS_SENTENCEPIECE_H

#include <stddef.h>
#include <stdint.h>

enum { SENTENCEPIECE_VERSION = 2, SENTENCEPIECE_MESSAGE = 256 };

/* Kinds of pieces. */
enum { PIECE_TEXT, PIECE_UNKNOWN, PIECE_CONTROL, PIECE_BYTE };

/* The next line of a text to learn from, without its end: 0 when there is none. */
typedef int sentencepiece_line(void *context, const char **line, size_t *size);

typedef void sentencepiece_keep(void *out, const void *bytes, size_t size);

typedef struct sentencepiece_table {
    int version;
    /* From the bytes of a model file; NULL when they are none: message[SENTENCEPIECE_MESSAGE] says why. */
    void *(*open)(const void *bytes, size_t size, char *message);
    void (*close)(void *model);
    int (*pieces)(const void *model);
    /* The piece as the model spells it, and its kind. */
    const char *(*piece)(const void *model, int id, size_t *size, int *kind);
    /* Ids of a text of valid UTF-8: how many, or -1 when there are more than `most` or it failed. */
    int64_t (*encode)(const void *model, const char *text, size_t size, int32_t *ids, size_t most);
    /* Learns a unigram model of so many pieces and hands over the bytes of its file. 0: done. */
    int (*train)(int pieces, uint32_t seed, sentencepiece_line *next, void *context, sentencepiece_keep *keep,
                 void *out, char *message);
} sentencepiece_table;

#endif
