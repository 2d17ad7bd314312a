/* The CUDA backend, behind its plug-in. */
#ifndef BACKENDS_CUDA_H
#define BACKENDS_CUDA_H

#include "tensor/backend.h"

extern const backend_type cuda_backend;

/* A line for each device, or one that says why there is none; true when there is one. */
bool cuda_describe(void (*line)(void *context, const char *text), void *context);

/* Is there a plug-in, and a device for it? */
bool cuda_there(void);

#endif
