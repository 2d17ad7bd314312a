/* AdamW and LAMB over flat parameters, with the gradient's global norm and averaged weights. */
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H

#include "config/run_config.h"
#include "tensor/parameters.h"

typedef struct optimizer {
    parameters *p;
    matrix m, v;    /* first and second moments, [1, elements] */
    matrix average; /* averaged weights (ema > 0), else absent */
    matrix sum;     /* [1, 1] scratch on the device */
    matrix moved;   /* of LAMB: [1, elements] where a full step would lead, else absent */
    matrix norms;   /* and [3, names] sums of squares, */
    float *lengths; /* here on the host */
} optimizer;

/* Moments are zero; averages start as the weights (call after those are set). c NULL: AdamW, no averages. */
int optimizer_open(optimizer *o, parameters *p, const train_config *c, pcv_error *err);
void optimizer_close(optimizer *o);

/* Bytes that it takes beside weights and gradients. */
size_t optimizer_bytes(const parameters *p, const train_config *c);

/* Norm of all gradients; not finite when one is not. */
double optimizer_grad_norm(optimizer *o);

/* Update number `step` (from 0) at rate lr with gradients scaled by `scale`. */
void optimizer_step(optimizer *o, const train_config *c, int64_t step, double lr, double scale);

#endif
