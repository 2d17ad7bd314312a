/* Data sets: documents of tokens in three splits, behind one interface.
 *
 * A name is a folder that `perceiver prepare` made, whose token files are mapped, or a generator like
 * "copy:1024", whose documents are made when they are read (data/generated.h). Documents never run into
 * one another: a window lies within one.
 *
 *     dataset *d;
 *     TRY(dataset_open(&d, "data/books", seed, err));
 *     int64_t n = dataset_length(d, SPLIT_TRAIN, 3);
 *     TRY(dataset_read(d, SPLIT_TRAIN, 3, 0, n, ids, err));
 *     dataset_close(d); */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "config/settings.h"
#include "token/token.h"

typedef struct dataset dataset;

enum { SPLITS = 3 }; /* split_name: train, validation, test */

typedef struct dataset_type {
    int64_t (*documents)(const dataset *d, split_name split);
    int64_t (*length)(const dataset *d, split_name split, int64_t document); /* tokens */
    int (*read)(const dataset *d, split_name split, int64_t document, int64_t from, int64_t count,
                int32_t *ids, pcv_error *err);
    void (*close)(dataset *d);
    void (*resize)(dataset *d, int64_t length); /* of generated documents, else NULL */
    int64_t (*next_target)(const dataset *d, split_name split, int64_t document, int64_t i); /* NULL: from first_target
                                                                                              * on all count */
    int32_t (*label)(const dataset *d, split_name split, int64_t document); /* where there are classes */
} dataset_type;

struct dataset {
    const dataset_type *type;
    char name[PATH_SIZE];   /* as it was given */
    char place[PATH_SIZE];  /* where it is found from anywhere; of a generator: its name */
    char digest[HASH_TEXT]; /* of all that it holds, or of a generator's name; "": an older version made it */
    char meaning[HASH_TEXT]; /* tokenizer_meaning */
    char kind[32]; /* a data_kind's name, or a generator's */
    tokenizer tokens;
    int64_t bytes[SPLITS]; /* of the texts that a split was made from; 0: not known */
    bool generated;       /* documents without end: an evaluation says how many */
    bool unordered;       /* documents are sets: where a token stands says nothing */
    bool masked;          /* texts that were prepared to hide some of them (--task mask) */
    int64_t first_target; /* targets before this index of any document are not scored */
    uint64_t seed;        /* of generated documents */
    int64_t classes;      /* of documents with labels; 0: they have none */
    char **class_name;    /* [classes] */
    void *state;
};

int dataset_open(dataset **d, const char *name, uint64_t seed, pcv_error *err);
void dataset_close(dataset *d);

int64_t dataset_documents(const dataset *d, split_name split);
int64_t dataset_length(const dataset *d, split_name split, int64_t document);
int dataset_read(const dataset *d, split_name split, int64_t document, int64_t from, int64_t count,
                 int32_t *ids, pcv_error *err);

/* The first target from index i of a document on that counts, the document's length or more where none does: what is
 * trained on, evaluated and looked at. Of documents that have such targets the last one counts. */
int64_t dataset_next_target(const dataset *d, split_name split, int64_t document, int64_t i);

/* How many of the last `most` targets of a document count; of generated ones on average. */
int64_t dataset_last_targets(const dataset *d, split_name split, int64_t most);

/* Bytes of a split's texts for each byte of the pieces that they became: 1 but for tokenizers that rewrite texts. */
int dataset_bytes_of_piece(const dataset *d, split_name split, double *ratio, pcv_error *err);

/* Is it the one that is remembered by this digest? Where there is no digest to compare (NULL or ""), the one with this
 * name or place is taken for it, and *assumed is set. */
bool dataset_is(const dataset *d, const char *digest, const char *place, bool *assumed);

/* PCV_DATA where its ids mean other things than those of `t`, which belongs to `owner`. */
int dataset_check_meaning(const dataset *d, const tokenizer *t, const char *owner, pcv_error *err);

/* Makes generated documents as long as `length` allows, never longer than the name says; other documents
 * stay as they are. */
void dataset_resize(dataset *d, int64_t length);

/* Where the documents of a data set of this name stand, for a model that does not say (positions.middle is -1, as in
 * runs older than it): those of a generator that wants it in the middle of the context, others at its beginning. */
void dataset_middle(const char *name, model_config *m);

/* Fills in what a model takes from its data: a vocabulary that is 0, where documents stand, and the axes of positions,
 * learned where nothing else was asked for. PCV_CONFIG when something else was that cannot be. */
int dataset_shape(const dataset *d, const pcv_settings *settings, model_config *m, pcv_error *err);

/* One of the two kinds; the other is generated_open. */
int folder_open(dataset *d, const char *path, pcv_error *err);

#endif
