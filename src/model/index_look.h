/* What index heads look at, for people who ask: the probabilities that the op gives (ops/attend_found.c), worked out on
 * the host from an index of the inputs and the heads' few numbers.
 *
 *     index_rules r;
 *     index_rules_read(&r, t, m);                              // within a pass
 *     TRY(index_of(m, ids, 1000, 1, &x, &memory, err));
 *     int count = index_look(&x, &r, 0, 999, found, &nothing); // head 0 at place 999
 *
 * What is read lives as long as the tape's step. */
#ifndef MODEL_INDEX_LOOK_H
#define MODEL_INDEX_LOOK_H

#include "model/model.h"

typedef struct index_rules {
    const model *m;
    int64_t heads, places; /* heads 0: the model has none */
    float *length;         /* [heads, MATCH_CLASSES] */
    float *slope;          /* [heads] */
} index_rules;

typedef struct index_place {
    ngram_match match;
    double probability;
} index_place;

/* Nothing is read where the tape failed. */
void index_rules_read(index_rules *r, tape *t, const model *m);

/* An index of the model's orders over `count` tokens, of whose last `asked` places will be asked. mem_free *memory in
 * the end, also where it failed. */
int index_of(const model *m, const int32_t *ids, int64_t count, int64_t asked, ngram_index *x, void **memory,
             pcv_error *err);

/* What a head looks at from `place`, as far back as the model sees, the nearest first; returns how many, and in
 * *nothing what is left for no place at all. `found` [r->places] */
int index_look(const ngram_index *x, const index_rules *r, int head, int64_t place, index_place *found,
               double *nothing);

#endif
