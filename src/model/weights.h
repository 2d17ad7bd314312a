/* Flat blocks of a model's parameters as safetensors files: weights, moments, averages. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "base/safetensors.h"
#include "tensor/parameters.h"

/* A block of the same layout as parameters.values, and the prefix of its tensors' names. */
typedef struct weight_block {
    const char *prefix; /* "" for weights, "m." ... */
    matrix values;
} weight_block;

/* Writes blocks into one file, atomically. metadata: object of strings, or NULL. */
int weights_save(const parameters *p, const weight_block *blocks, int count, json_t *metadata,
                 const char *path, char hash[HASH_TEXT], uint64_t *size, pcv_error *err);

/* Fills the blocks. Every tensor must be there with its shape in F32, every value finite, and none may
 * be left over. */
int weights_load(const parameters *p, const weight_block *blocks, int count, const char *path,
                 pcv_error *err);

/* The same for one of the blocks that a file holds. */
int weights_load_one(const parameters *p, const weight_block *block, const char *path, pcv_error *err);

/* PCV_NUMERIC when a value of the block is not finite. */
int weights_check_finite(const parameters *p, matrix block, const char *what, pcv_error *err);

#endif
