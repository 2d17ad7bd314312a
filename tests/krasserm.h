/* The krasserm dialect's small test models (cases A, B, C): weights from a formula, inputs, and numbers
 * that krasserm/perceiver-io's own model code gave. */
#ifndef TESTS_KRASSERM_H
#define TESTS_KRASSERM_H

#include "config/settings.h"
#include "model/model.h"

enum { KRASSERM_V = 13 };

typedef struct krasserm_case {
    const char *name, *changes;
    double first[5], last[5], loss;
    double left_padded[5]; /* last latent, two positions of padding in front */
    double slid[5];        /* the token behind one slide of the caches */
} krasserm_case;

extern const krasserm_case krasserm_cases[3];

model *krasserm_model(backend *be, const krasserm_case *k);

/* Input token j and its successor. */
static inline int32_t krasserm_token(int j) { return (7 * j + 3) % KRASSERM_V; }

#endif
