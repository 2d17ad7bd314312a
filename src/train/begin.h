/* What a model knows before its first update. */
#ifndef TRAIN_BEGIN_H
#define TRAIN_BEGIN_H

#include "data/dataset.h"
#include "model/model.h"

/* For a model just initialized: its token embeddings become a random map of the tokenizer's vectors, where there are
 * any, of the size that they had; and its output bias, where there is one, the logarithm of how often each token is a
 * target of the train split, each counted half a time more than it is (Krichevsky and Trofimov 1981). */
int begin_with_data(model *m, const dataset *d, uint64_t seed, pcv_error *err);

#endif
