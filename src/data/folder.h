/* Data set folders: dataset.json, tokenizer.json, and per split SPLIT.tokens (little-endian uint16, or
 * uint32 above 65,536 ids) with SPLIT.index (uint64: where each document starts, then the end); where documents
 * have labels, SPLIT.labels (int32: their class in the list of dataset.json). */
#ifndef DATA_FOLDER_H
#define DATA_FOLDER_H

#include "base/file.h"
#include "data/dataset.h"

/* A file whose last bytes wait in memory. */
typedef struct split_file {
    file_writer file;
    size_t waiting;
    unsigned char bytes[1 << 16];
} split_file;

/* Writes one split's files, document by document. */
typedef struct split_writer {
    split_file tokens, index, labels;
    int wide; /* bytes of a token: 2 or 4 */
    bool labelled;
    char hash[3][HASH_TEXT]; /* of the files, once they are committed */
    int64_t documents, count;
} split_writer;

/* A place to go back to: what was appended since is forgotten. */
typedef struct split_mark {
    int64_t documents, count;
} split_mark;

int split_create(split_writer *w, const char *folder, split_name split, int64_t vocab, bool labelled,
                 pcv_error *err);
int split_append(split_writer *w, const int32_t *ids, size_t count, pcv_error *err);
int split_end_document(split_writer *w, int32_t label, pcv_error *err); /* label: where it is labelled */
split_mark split_here(const split_writer *w);
int split_back(split_writer *w, split_mark mark, pcv_error *err);
int split_commit(split_writer *w, pcv_error *err);
void split_abandon(split_writer *w);

/* The digest of a data set whose three splits are committed and whose ids have this meaning. */
void folder_digest(const split_writer out[SPLITS], const char *meaning, char hex[HASH_TEXT]);

#endif
