/* Documents that come again, known by the hash of their text: each content belongs to one split, so that nothing is
 * tested on that was learned from. 64 bits a document are held, of which two name the split; of ten million documents
 * two are taken for the same by chance once in some hundred thousand data sets.
 *
 *     split = repeats_split(&r, hash);                // NEW: it was not there before
 *     TRY(repeats_set(&r, hash, SPLIT_TRAIN, err)); */
#ifndef DATA_REPEATS_H
#define DATA_REPEATS_H

#include "data/deal.h"

enum { NEW = -1 };

typedef struct repeats {
    uint64_t *slots; /* 0: free */
    size_t count, capacity;
} repeats;

int repeats_split(const repeats *r, uint64_t hash); /* or NEW */
int repeats_set(repeats *r, uint64_t hash, split_name split, pcv_error *err);
void repeats_forget(repeats *r); /* all of them */

/* Who goes where among the documents of one file: new contents are dealt, each subset as likely as another, and
 * those that were there before follow the first of them. */
typedef struct document_plan {
    uint64_t *hash; /* [count], until they are dealt */
    uint8_t *split; /* [count], from then on */
    size_t count, capacity;
} document_plan;
int document_plan_add(document_plan *p, uint64_t hash, pcv_error *err);
int document_plan_count(const document_plan *p, repeats *r, int64_t *contents, pcv_error *err); /* new ones */
int document_plan_deal(document_plan *p, repeats *r, document_dealer *dealer, pcv_error *err);
split_name document_plan_at(const document_plan *p, size_t number); /* behind the last: to train on */
void document_plan_free(document_plan *p);

#endif
