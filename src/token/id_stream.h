/* The ids of a document in a file, piece by piece, the start token in front. Text that may be cut anywhere and lists of
 * ids may have any size and take no memory; what must be read whole (pictures, music, sound, pieces of words) is.
 *
 *     id_stream s;
 *     TRY(id_stream_open(&s, &tokens, path, are_ids, watch, err));
 *     TRY(id_stream_count(&s, &count, &bytes, err));        // reads the file once, and goes back to its beginning
 *     TRY(id_stream_next(&s, ids, capacity, &got, err));    // got < capacity: the end
 *     id_stream_close(&s); */
#ifndef TOKEN_ID_STREAM_H
#define TOKEN_ID_STREAM_H

#include "base/file.h"
#include "token/token.h"

typedef struct id_stream {
    const tokenizer *t;
    file_reader file;    /* fd -1: everything is ready from the beginning */
    bool are_ids, begun; /* whitespace-separated numbers in place of text; the start token was given */
    char *text;          /* read and not yet made into ids */
    size_t held;         /* bytes of it */
    int64_t offset;      /* of text in the file */
    int32_t *ready;      /* [waiting], ids that next gives from `at` on */
    size_t waiting, at;
    int64_t bytes; /* of a text that was read whole */
    bool owned;    /* ready is the stream's */
} id_stream;

/* The watch hears what is doubtful about the file. */
int id_stream_open(id_stream *s, const tokenizer *t, const char *path, bool are_ids, const pcv_watch *watch,
                   pcv_error *err);
void id_stream_of(id_stream *s, const tokenizer *t, const int32_t *ids, size_t count); /* which outlive the stream */
void id_stream_close(id_stream *s);

/* All ids, the start token included, and the bytes of the text that they stand for; 0: of no text, or unknown. */
int id_stream_count(id_stream *s, int64_t *count, int64_t *bytes, pcv_error *err);

/* The next ids. The start token comes first, whether it is there or not. PCV_DATA for one that the vocabulary lacks. */
int id_stream_next(id_stream *s, int32_t *ids, size_t capacity, size_t *got, pcv_error *err);

#endif
