/* Device memory for the tensors of a step: a heap over one reserved region.
 *
 * First fit by address, neighbours merge when freed. The choice never looks at how much room is
 * left at the end, so a run over an unlimited region of the null backend makes the same choices as
 * the real one, and its high-water mark is the exact size to reserve. When batches of other shapes
 * need more after all, the pool takes a further region, and pool_tidy makes one of all between passes.
 *
 * A storage is counted: tensors, views and shared gradients hold references to it. */
#ifndef TENSOR_POOL_H
#define TENSOR_POOL_H

#include "tensor/backend.h"

typedef struct storage {
    char *data;
    size_t bytes;
    int references;                 /* 0: free */
    int region;
    struct storage *before, *after; /* neighbours by address */
} storage;

enum { POOL_REGIONS = 64 };

typedef struct pool {
    backend *be;
    storage *first;  /* by region and address */
    storage *unused; /* headers to use again */
    struct {
        char *base;
        size_t bytes;
    } region[POOL_REGIONS];
    int regions;
    bool unlimited; /* planning: region 0 is not backed by memory */
    size_t high;    /* highest end of a block ever used, all regions */
    size_t now, peak; /* bytes in use */
} pool;

/* Reserves `bytes`; 0 reserves nothing yet. */
int pool_init(pool *p, backend *be, size_t bytes, pcv_error *err);
int pool_init_unlimited(pool *p, backend *be, pcv_error *err);
void pool_free(pool *p);

/* A block with one reference, or NULL when the device has no more memory. */
storage *pool_get(pool *p, size_t bytes);
void pool_hold(storage *s);
void pool_drop(pool *p, storage *s); /* one reference less; NULL is fine */

/* Where nothing is in use and there are several regions: one region with some room to grow in their place, so
 * that windows that grow a little at a time do not each add a region. */
void pool_tidy(pool *p);

#endif
