/* What a document is: a file (files), a folder with all its files (folders: encode_folders.c), or a part of a file.
 * Here is where of several documents in a file one ends and the next begins, found in bytes that come in pieces of any
 * size.
 *
 * lines: each line is a document, without its line end. paragraphs: documents are parted by lines with nothing but
 * white space. separator:TEXT: by TEXT, in which \n, \t, \r, \0, \\ and \xHH stand for what they do in C. jsonl:FIELD:
 * each line is a JSON object, whose text of that name is the document. A document with nothing but white space is
 * none.
 *
 * Nothing is held but what cannot be judged yet: a piece of a separator, or a whole line of JSON.
 *
 *     document_reader r = {.rule = &rule, .sink = sink};
 *     TRY(documents_feed(&r, piece, size, err));      // as often as there is more
 *     TRY(documents_finish(&r, err));
 *     documents_free(&r); */
#ifndef DATA_DOCUMENTS_H
#define DATA_DOCUMENTS_H

#include "base/error.h"
#include "base/text.h"

#include <stdint.h>

typedef enum document_kind {
    DOCUMENTS_FILES,
    DOCUMENTS_FOLDERS,
    DOCUMENTS_LINES, /* from here on a file may hold several */
    DOCUMENTS_PARAGRAPHS,
    DOCUMENTS_JSONL,
    DOCUMENTS_SEPARATOR
} document_kind;

typedef struct document_rule {
    document_kind kind;
    size_t size; /* of text: a field's name or a separator */
    char text[256];
} document_rule;

static inline bool documents_part_files(const document_rule *r) { return r->kind >= DOCUMENTS_LINES; }

/* "folders", "lines", "jsonl:text", ... NULL: "files". */
int document_rule_parse(document_rule *r, const char *text, pcv_error *err);

/* What takes the documents. A status other than 0 ends the reading. */
typedef struct document_sink {
    void *context;
    int (*begin)(void *context, pcv_error *err);
    int (*bytes)(void *context, const char *bytes, size_t size, pcv_error *err);
    int (*end)(void *context, bool keep, pcv_error *err); /* keep false: it was blank */
    int (*bad)(void *context, int64_t line, const char *reason, pcv_error *err); /* a line that is no such JSON */
} document_sink;

typedef struct document_reader {
    const document_rule *rule;
    document_sink sink;
    text held;
    bool open, blank; /* a document has begun; it is blank so far */
    bool overlong;    /* in a line of JSON that is too long */
    int64_t line;     /* that ended last, from 1 */
} document_reader;

int documents_feed(document_reader *r, const char *bytes, size_t size, pcv_error *err);
int documents_finish(document_reader *r, pcv_error *err);
void documents_free(document_reader *r);

#endif
