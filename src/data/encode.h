/* One input's way into the splits. It enters as a whole or not at all: what it wrote is taken back when it cannot
 * be read to its end, or turns out to be one that was there before.
 *
 * encode.c judges and records, encode_document.c writes, encode_text.c passes texts through in pieces, encode_folders.c
 * the texts of a folder, and encode_files.c reads what can be read as a whole alone. */
#ifndef DATA_ENCODE_H
#define DATA_ENCODE_H

#include "data/prepare.h"

/* What is wrong with an input. */
typedef struct fault {
    skip_reason why;
    pcv_error reason;
} fault;

void fault_set(fault *f, skip_reason why, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What a content that was read to its end, or is known to be binary before, says against the input. */
void input_judge(const job *j, const input *in, const file_content *c, fault *f);

/* A good input: unless its content was there before, it is in, and its split is final. */
int input_accept(job *j, input *in, const char *hash, fault *f, pcv_error *err);
int input_skip(job *j, input *in, fault *f, pcv_error *err);

/* Notes in dataset.json what it gave to a split. */
int input_record(job *j, const input *in, int split, int64_t documents, uint64_t bytes, pcv_error *err);

/* A document on its way into a split, in pieces. */
typedef struct open_document {
    split_name split;
    int32_t label;
    split_mark begin;
    uint64_t size; /* bytes so far */
    text whole;    /* those bytes, for tokenizers that take no less; free it with text_free */
} open_document;

int document_begin(job *j, open_document *d, const input *in, split_name split, pcv_error *err);
int document_add(job *j, open_document *d, const char *bytes, size_t size, const input *in, fault *f, pcv_error *err);
int document_end(job *j, open_document *d, pcv_error *err);

/* The input of this number, a text. */
int encode_text(job *j, size_t number, pcv_error *err);

/* Appends the part of it that is to train on, as text, for a tokenizer that learns: of an input that is divided. */
int copy_lesson(job *j, size_t number, file_writer *lesson, pcv_error *err);

/* The inputs [from, from + count), which are texts of one folder, as one document; or, write false, only looked at. */
int encode_folder(job *j, size_t from, size_t count, bool write, pcv_error *err);

/* The inputs [from, from + count), read at once and written in order; or, write false, only looked at, accepted and
 * skipped, for a tokenizer that has to learn first. */
int encode_files(job *j, size_t from, size_t count, bool write, pcv_error *err);

#endif
