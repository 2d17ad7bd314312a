/* Transformer-XL (Dai et al. 2019, arXiv 1901.02860). */
#ifndef MODEL_TRANSFORMER_XL_H
#define MODEL_TRANSFORMER_XL_H

#include "model/model.h"

extern const model_type transformer_xl;

#endif
