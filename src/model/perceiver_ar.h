/* Perceiver AR (Hawthorne et al. 2022, arXiv 2202.07765). docs/perceiver_ar.md explains it. */
#ifndef MODEL_PERCEIVER_AR_H
#define MODEL_PERCEIVER_AR_H

#include "model/model.h"

extern const model_type perceiver_ar;

#endif
