/* The making of a data set, as its rooms share it: inputs.h finds the files, deal.h says who goes where, encode.c
 * writes their documents, and prepare.c keeps the folder and its record. */
#ifndef DATA_PREPARE_H
#define DATA_PREPARE_H

#include "data/content.h"
#include "data/deal.h"
#include "data/documents.h"
#include "data/inputs.h"
#include "data/labels.h"
#include "data/repeats.h"
#include "data/skipped.h"

typedef struct job {
    const pcv_prepare_options *options;
    const pcv_watch *watch;
    pcv_prepare_report *report;
    const data_kind *kind;
    tokenizer tokens;
    document_rule documents;
    file_dealer dealer;
    bool divides; /* too few files to deal: each is divided among the splits */
    input_list inputs;
    labels labels;
    content_set seen;
    repeats again; /* documents of files that hold many */
    int64_t following, elsewhere; /* documents that were there before: in the same split, and left out */
    skipped skipped;
    json_t *used; /* files, for dataset.json */
    split_writer out[SPLITS];
    char output[PATH_SIZE], folder[PATH_SIZE]; /* final and temporary name */
    char *bytes;  /* [ENCODE_BYTES] what was read */
    int32_t *ids; /* [tokenizer_most(ENCODE_BYTES)] what it became */
    const char *stage;         /* of the progress */
    double start, done, total; /* seconds; bytes */
} job;

enum { ENCODE_BYTES = 1 << 20 };
#define LESSON_FILE "lesson" /* what a tokenizer learns from, while it does, where that is a part of a file */

void job_say(const job *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Tells the progress, `more` bytes into the file that is read; PCV_INTERRUPTED when that was asked for. */
int job_progress(const job *j, uint64_t more, pcv_error *err);

/* Text in pieces, in contrast to files that can only be read as a whole. */
static inline bool job_is_text(const job *j) { return j->tokens.type->encode != NULL; }

/* Writes every good input's documents into the splits. */
int encode_inputs(job *j, pcv_error *err);

/* As pcv_prepare. */
int prepare_run(const pcv_prepare_options *options, const pcv_watch *watch, pcv_prepare_report *report, pcv_error *err);

#endif
