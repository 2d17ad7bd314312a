/* What the files of a data set are, where somebody says so: by the folder that each stands in, or in a list.
 *
 *     folders      INPUT/daisy/1.png is a daisy; INPUT/train/daisy/1.png, too
 *     FILE.csv     rows of a file and its label, "pictures/1.png,daisy"; a file is named by its path, or by as much of
 *                  its end as tells it apart. A first row that names no file is a heading. Fields may be quoted.
 *
 * Classes are numbered in the order of their names. Files without a label are skipped and listed. */
#ifndef DATA_LABELS_H
#define DATA_LABELS_H

#include "data/inputs.h"

typedef struct label_row label_row;

typedef struct labels {
    bool by_folder, by_list; /* neither: files have no labels */
    const char *list;        /* FILE.csv */
    file_bytes bytes;        /* of it; fields lie in there */
    label_row *row;          /* [rows] sorted by the last part of the path */
    size_t rows;
    char **name;             /* [count] of the classes, sorted */
    int64_t count;
} labels;

enum { MOST_CLASSES = 65536 };

/* rule NULL: no labels. PCV_USAGE: neither "folders" nor a CSV; PCV_DATA: a row without a label. */
int labels_open(labels *l, const char *rule, pcv_error *err);
void labels_free(labels *l);

/* Gives every input its class (input.label). PCV_DATA where there are not two classes. */
int labels_assign(labels *l, input_list *inputs, skipped *s, const pcv_watch *watch, pcv_error *err);

#endif
