/* Which files become a data set: those that are named, and those that the named folders hold, with rules that
 * leave some out. Hidden files, and lists of checksums, are left out unless they are named themselves.
 *
 * Splits may be given by options, or by names (input_names.h): what is named goes to the split of its name, and what
 * stands beside it in the same input is left out.
 *
 * Where documents are folders, the folders right below an input folder, or below one that is a split, are documents:
 * their files stand side by side in the list, in the order of their paths. Any other file is a document of its own. */
#ifndef DATA_INPUTS_H
#define DATA_INPUTS_H

#include "data/input_names.h"
#include "data/skipped.h"

typedef struct input {
    char *path;       /* what is opened */
    const char *name; /* what is said: the path, or "standard input" */
    uint64_t size;    /* when it was found */
    int split;
    bool is_given;    /* that split, by option or name */
    bool is_bad;      /* it was tried, and skipped */
    bool is_first;    /* it stands for all of its folder */
    size_t base;      /* where its path within the folder that was named begins */
    int32_t label;    /* its class, -1: it has none (labels.h) */
    size_t key;       /* so many bytes of the path name its document: a folder with its slash, or all of them */
    int64_t document; /* its number, which the document's files share */
    char hash[33];    /* of its content, where that was looked at before */
} input;

typedef struct input_list {
    input *v;
    size_t count, capacity;
    bool given[3]; /* splits that were given by option or name */
    bool by_name;  /* names decide */
} input_list;

/* Fills the list; standard input, "-", is copied into a file in `folder`. Those with a split come first: what is tested
 * on, validated on, trained on. */
int inputs_collect(input_list *list, const pcv_prepare_options *o, const char *folder, skipped *s, pcv_error *err);
int inputs_shuffle(input_list *list, uint64_t seed, pcv_error *err); /* documents that are dealt */
size_t inputs_of_document(const input_list *list, size_t from);      /* so many from there on are of one document */
const char *input_within(const input *in);                           /* its path within its document */
void inputs_free(input_list *list);

#define INPUT_COPY "standard-input" /* that file, which goes when it was read */

#endif
