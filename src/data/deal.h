/* Who goes where: the shares of the splits, and the dealing of files and of documents.
 *
 * Files are dealt as they turn out good, for nobody knows before which will: the list is shuffled by the seed,
 * then each good file goes to the split that lacks most. So bad files change nothing about the shares, and every
 * split that was asked for has a file before any has a second one. */
#ifndef DATA_DEAL_H
#define DATA_DEAL_H

#include "base/rng.h"
#include "data/folder.h"

/* percent[SPLITS] of "90,5,5"; NULL: those. */
int deal_shares(int *percent, const char *text, pcv_error *err);
int deal_wanted(const int *percent); /* splits with a share */

typedef struct file_dealer {
    int percent[SPLITS];
    int64_t dealt[SPLITS];
} file_dealer;
split_name file_dealer_next(const file_dealer *d); /* where the next good file goes */
void file_dealer_take(file_dealer *d);             /* it went there */

/* The documents of one file, whose number is known: each subset is as likely as another. */
typedef struct document_dealer {
    rng random;
    int64_t left[SPLITS];
    split_name next; /* where the next document goes */
} document_dealer;
void document_dealer_open(document_dealer *d, const int *percent, int64_t documents, uint64_t seed, uint32_t file);
void document_dealer_take(document_dealer *d);

#endif
