/* The decoder-only Transformer and the Sparse Transformer (Child et al. 2019, arXiv 1904.10509). */
#ifndef MODEL_TRANSFORMER_H
#define MODEL_TRANSFORMER_H

#include "model/model.h"

extern const model_type transformer; /* both: config.architecture tells them apart */

#endif
