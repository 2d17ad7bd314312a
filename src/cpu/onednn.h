/* What gemm_onednn.c needs of oneDNN and what its major versions spell differently: 2 (Debian 12) and 3 (Debian 13).
 * Version 3 made descriptions of matrices opaque and folded a product's description into its plan.
 *
 *     onednn_form a;
 *     onednn_form_make(&a, dnnl_f32, rows, cols, row_stride, 1);
 *     onednn_form_memory(&memory, &a, engine, data);
 *     onednn_form_free(&a);
 *
 * Whatever fails says so by its status; forms that were not made can be freed. */
#ifndef CPU_ONEDNN_H
#define CPU_ONEDNN_H

#include "base/error.h"

#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#if DNNL_VERSION_MAJOR < 2 || DNNL_VERSION_MAJOR > 3
#error "oneDNN 2 or 3 is expected; -DPERCEIVER_GEMM=cblas builds without it"
#endif

/* How a matrix lies in memory; zero is none. */
typedef struct onednn_form {
    dnnl_memory_desc_t d;
} onednn_form;

#if DNNL_VERSION_MAJOR == 2

#define ONEDNN_REF(f) (&(f)->d)

static inline dnnl_status_t onednn_add_to_result(dnnl_post_ops_t after) { return dnnl_post_ops_append_sum(after, 1); }

static inline void onednn_form_free(onednn_form *f) { (void)f; }

static inline dnnl_status_t onednn_form_make(onednn_form *f, dnnl_data_type_t type, int64_t rows, int64_t cols,
                                             int64_t row, int64_t col) {
    dnnl_dims_t size = {rows, cols}, stride = {row, col};
    return dnnl_memory_desc_init_by_strides(&f->d, 2, size, type, stride);
}

static inline dnnl_status_t onednn_plan_scratch(onednn_form *f, const_dnnl_primitive_desc_t planned) {
    f->d = *dnnl_primitive_desc_query_md(planned, dnnl_query_scratchpad_md, 0);
    return dnnl_success;
}

static inline dnnl_status_t onednn_plan_matmul(dnnl_primitive_desc_t *planned, dnnl_engine_t engine,
                                               const onednn_form *a, const onednn_form *b, const onednn_form *bias,
                                               const onednn_form *c, const_dnnl_primitive_attr_t attributes) {
    dnnl_matmul_desc_t product;
    dnnl_status_t status = dnnl_matmul_desc_init(&product, &a->d, &b->d, bias ? &bias->d : NULL, &c->d);
    return status == dnnl_success ? dnnl_primitive_desc_create(planned, &product, attributes, engine, NULL) : status;
}

#else

#define ONEDNN_REF(f) ((f)->d)

static inline dnnl_status_t onednn_add_to_result(dnnl_post_ops_t after) {
    return dnnl_post_ops_append_sum(after, 1, 0, dnnl_data_type_undef);
}

static inline void onednn_form_free(onednn_form *f) {
    if (f->d) dnnl_memory_desc_destroy(f->d);
    f->d = NULL;
}

static inline dnnl_status_t onednn_form_make(onednn_form *f, dnnl_data_type_t type, int64_t rows, int64_t cols,
                                             int64_t row, int64_t col) {
    dnnl_dims_t size = {rows, cols}, stride = {row, col};
    return dnnl_memory_desc_create_with_strides(&f->d, 2, size, type, stride);
}

static inline dnnl_status_t onednn_plan_scratch(onednn_form *f, const_dnnl_primitive_desc_t planned) {
    return dnnl_memory_desc_clone(&f->d, dnnl_primitive_desc_query_md(planned, dnnl_query_scratchpad_md, 0));
}

static inline dnnl_status_t onednn_plan_matmul(dnnl_primitive_desc_t *planned, dnnl_engine_t engine,
                                               const onednn_form *a, const onednn_form *b, const onednn_form *bias,
                                               const onednn_form *c, const_dnnl_primitive_attr_t attributes) {
    return dnnl_matmul_primitive_desc_create(planned, engine, a->d, b->d, bias ? bias->d : NULL, c->d, attributes);
}

#endif

static inline size_t onednn_form_bytes(const onednn_form *f) { return dnnl_memory_desc_get_size(ONEDNN_REF(f)); }

static inline dnnl_status_t onednn_form_memory(dnnl_memory_t *memory, const onednn_form *f, dnnl_engine_t engine,
                                               void *data) {
    return dnnl_memory_create(memory, ONEDNN_REF(f), engine, data);
}

#endif
