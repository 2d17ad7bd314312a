/* Factorized attention patterns of the Sparse Transformer (Child et al. 2019, arXiv 1904.10509, section 4.3),
 * interleaved: even layers see near tokens, odd layers far ones. For query i, stride l, summary c:
 *
 *     strided   near: i - l .. i                      far: j <= i with (i - j) mod l = 0
 *     fixed     near: j <= i in the block of i        far: j <= i with j mod l >= l - c
 *
 * Far keys are gathered so that each query sees a range of them: a key that nobody sees costs nothing, and
 * attention itself is the dense model's. i and j count from the beginning of the timeline. */
#ifndef MODEL_SPARSE_H
#define MODEL_SPARSE_H

#include "model/parts.h"

/* Ranges and orders for one batch; from the tape's arena. Caches must hold the same rows in every layer. */
const void *sparse_make(tape *t, const model *m, const pass *p, const batch *b);

tensor *sparse_near(tape *t, const layer_context *k, tensor *q, tensor *key, tensor *value);
tensor *sparse_far(tape *t, const layer_context *k, tensor *q, tensor *key, tensor *value);

#endif
