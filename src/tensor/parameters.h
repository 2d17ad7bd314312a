/* Parameters: one flat block of values and one of gradients, described by a list of names.
 *
 * A model declares its tensors in order; then the block is allocated, and the tensors point into it.
 * Flat blocks make a checkpoint one sequence of reads, the gradient norm one pass and an all-reduce
 * one call. A name may expand to several tensors that lie behind one another and are used as one:
 *
 *     tensor *qkv = parameters_add(&p, "layers.0.attention.{query,key,value}.weight", 3 * C, C, init);
 *
 * is one [3 C, C] matrix for a single product, and three [C, C] tensors in a file.
 * Ownership: the list owns the tensors; the backend's memory goes with parameters_free. */
#ifndef TENSOR_PARAMETERS_H
#define TENSOR_PARAMETERS_H

#include "tensor/tape.h"

typedef enum init_kind {
    INIT_ZERO,
    INIT_ONE,
    INIT_CONSTANT,  /* scale */
    INIT_RAMP,      /* scale times the column */
    INIT_NORMAL,    /* N(0, scale^2) */
    INIT_TRUNCATED, /* N(0, scale^2) cut at two sigma */
    INIT_FAN_IN,    /* the same with sigma = scale / sqrt(columns) / 0.8796: variance scale^2 / in */
} init_kind;

typedef struct param_init {
    init_kind kind;
    double scale;
    bool decay;  /* weight decay applies: matrices of linear maps */
    bool vector; /* one-dimensional in files */
    bool state;  /* no weight, but an average that training keeps: it has no gradient, and does not count */
} param_init;

typedef struct parameter {
    tensor t; /* [rows, cols] */
    size_t offset;
    param_init init;
    int first, names; /* its names in parameters.name */
} parameter;

typedef struct parameters {
    parameter **list;
    int count, capacity;
    char **name; /* all names, braces expanded, in order */
    int names, name_capacity;
    size_t elements; /* of the flat block, padding included */
    int64_t total;   /* of the tensors themselves */
    backend *be;
    matrix values, grads; /* [1, elements], exact (backend.h) */
    matrix rounded;       /* [1, elements] of reals, what the tensors hold where these are others; else absent */
    int status;           /* PCV_MEMORY when declaring failed */
    tensor nowhere;       /* what is declared then */
} parameters;

/* A tensor of the model; never NULL before parameters_alloc has said whether all is well. */
tensor *parameters_add(parameters *p, const char *name, int64_t rows, int64_t cols, param_init init);

/* Allocates values (zero) and, when asked for, gradients. */
int parameters_alloc(parameters *p, backend *be, bool grads, pcv_error *err);
void parameters_free(parameters *p);

/* The tensor's place in `values`: what is written there reaches the tensor by parameters_round, at the latest. */
matrix parameters_values(const parameters *p, const tensor *t);
void parameters_round(const parameters *p);

/* Draws all initial values from (seed, RNG_INIT). */
int parameters_init(parameters *p, uint64_t seed, pcv_error *err);

/* Makes all gradients "not written": the next backward pass stores instead of adding. */
void parameters_clear_grads(parameters *p);

/* Lets all tensors read their values from a block of the same layout as `values`. */
void parameters_point(parameters *p, matrix block);

/* For generation alone: the matrices of linear maps become `type` (BF16 or I8), the rest is kept as it is, and
 * the flat block is given back; slices and files are no more. A tensor that is also looked up (tied embeddings)
 * stays as it is. */
int parameters_pack(parameters *p, dtype type, pcv_error *err);

/* Name i: its tensor, its rows within that tensor and its offset in the flat block. */
typedef struct parameter_slice {
    const char *name;
    const parameter *owner;
    int64_t rows, cols;
    size_t offset;
} parameter_slice;
parameter_slice parameters_slice(const parameters *p, int i);
int parameters_find(const parameters *p, const char *name); /* -1: none */

#endif
