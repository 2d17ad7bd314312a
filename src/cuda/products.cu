/* cuBLASLt. Its matrices are column by column, so it is asked for C' = B' A' of what we write row by row. The way that
 * its heuristic proposes for a shape is looked up once and kept: asking takes longer than a small product. */
#include "cuda/products.h"

#include <cublasLt.h>
#include <cstdlib>
#include <cstring>

enum { WORKSPACE = 32 << 20, PLANS = 1024 }; /* bytes, as the library advises for Hopper; ways that are kept */

/* What a way depends on: everything but the addresses, and how far these are aligned. */
typedef struct shape {
    int64_t m, n, k, lda, ldb, ldc;
    int32_t type, type_c, transposes, bias, beta, alignment;
} shape;

typedef struct plan {
    shape key;
    bool used, possible;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t way;
} plan;

typedef struct library {
    cublasLtHandle_t handle;
    void *workspace;
    int count;
    plan plans[PLANS]; /* a hash table with open addressing */
} library;

static bool fine(cuda_context *c, cublasStatus_t status, const char *what) {
    if (status == CUBLAS_STATUS_SUCCESS) return true;
    if (!c->failure->code) {
        bool memory = status == CUBLAS_STATUS_ALLOC_FAILED;
        snprintf(c->failure->message, sizeof c->failure->message, "cuBLASLt: %s failed: %s", what,
                 cublasLtGetStatusString(status));
        c->failure->code = memory ? PCV_MEMORY : PCV_IO;
    }
    return false;
}

bool products_open(cuda_context *c) {
    library *l = (library *)calloc(1, sizeof *l);
    c->products = l;
    if (!l) return cuda_fine(c, cudaErrorMemoryAllocation, "cuBLASLt");
    return fine(c, cublasLtCreate(&l->handle), "opening it") &&
           cuda_fine(c, cudaMalloc(&l->workspace, WORKSPACE), "the workspace of cuBLASLt");
}

static void drop(plan *p) {
    if (!p->used) return;
    if (p->operation) cublasLtMatmulDescDestroy(p->operation);
    if (p->a) cublasLtMatrixLayoutDestroy(p->a);
    if (p->b) cublasLtMatrixLayoutDestroy(p->b);
    if (p->c) cublasLtMatrixLayoutDestroy(p->c);
    memset(p, 0, sizeof *p);
}

void products_close(cuda_context *c) {
    library *l = (library *)c->products;
    if (!l) return;
    for (int i = 0; i < PLANS; i++) drop(&l->plans[i]);
    if (l->workspace) cudaFree(l->workspace);
    if (l->handle) cublasLtDestroy(l->handle);
    free(l);
    c->products = NULL;
}

/* ------------------------------------------------------------------ ways */

static int32_t alignment_of(const void *address) {
    intptr_t at = (intptr_t)address;
    int32_t bytes = 2;
    while (bytes < 256 && at % (2 * bytes) == 0) bytes *= 2;
    return bytes;
}

static shape shape_of(const gemm_args *a) {
    shape s;
    memset(&s, 0, sizeof s); /* it is compared as bytes */
    s.m = a->c.rows;
    s.n = a->c.cols;
    s.k = a->transpose_a ? a->a.rows : a->a.cols;
    s.lda = a->a.rows == 1 ? a->a.cols : a->a.stride;
    s.ldb = a->b.rows == 1 ? a->b.cols : a->b.stride;
    s.ldc = a->c.rows == 1 ? a->c.cols : a->c.stride;
    s.type = a->a.type;
    s.type_c = a->c.type;
    s.transposes = a->transpose_a + 2 * a->transpose_b;
    s.bias = a->bias.data != NULL;
    s.beta = a->beta != 0;
    s.alignment = alignment_of((void *)((intptr_t)a->a.data | (intptr_t)a->b.data | (intptr_t)a->c.data));
    return s;
}

static uint64_t hash_of(const shape *s) {
    const unsigned char *byte = (const unsigned char *)s;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *s; i++) hash = (hash ^ byte[i]) * 1099511628211u;
    return hash;
}

static cudaDataType_t type_of(int32_t type) { return type == BF16 ? CUDA_R_16BF : CUDA_R_32F; }

/* The library's layouts: what is [rows, cols] with a stride here is a [cols, rows] matrix there. */
static bool make_layouts(cuda_context *c, plan *p) {
    const shape *s = &p->key;
    bool ta = s->transposes & 1, tb = s->transposes & 2;
    return fine(c, cublasLtMatrixLayoutCreate(&p->b, type_of(s->type), (uint64_t)(tb ? s->k : s->n),
                                              (uint64_t)(tb ? s->n : s->k), s->ldb), "describing a matrix") &&
           fine(c, cublasLtMatrixLayoutCreate(&p->a, type_of(s->type), (uint64_t)(ta ? s->m : s->k),
                                              (uint64_t)(ta ? s->k : s->m), s->lda), "describing a matrix") &&
           fine(c, cublasLtMatrixLayoutCreate(&p->c, type_of(s->type_c), (uint64_t)s->n, (uint64_t)s->m, s->ldc),
                "describing a matrix");
}

static bool make_operation(cuda_context *c, plan *p) {
    const shape *s = &p->key;
    cublasOperation_t first = s->transposes & 2 ? CUBLAS_OP_T : CUBLAS_OP_N; /* of B, which comes first */
    cublasOperation_t second = s->transposes & 1 ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = s->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    cublasComputeType_t compute = s->type == F32 && c->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cudaDataType_t bias = type_of(s->type_c);
#define SET(attribute, value)                                                                      \
    fine(c, cublasLtMatmulDescSetAttribute(p->operation, attribute, &(value), sizeof(value)), "describing a product")
    return fine(c, cublasLtMatmulDescCreate(&p->operation, compute, CUDA_R_32F), "describing a product") &&
           SET(CUBLASLT_MATMUL_DESC_TRANSA, first) && SET(CUBLASLT_MATMUL_DESC_TRANSB, second) &&
           SET(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue) &&
           (!s->bias || SET(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias));
#undef SET
}

/* The best way that needs no more than the workspace; none is no failure. */
static bool choose_way(cuda_context *c, library *l, plan *p) {
    cublasLtMatmulPreference_t wish = NULL;
    cublasLtMatmulHeuristicResult_t found;
    size_t workspace = WORKSPACE;
    uint32_t alignment = (uint32_t)p->key.alignment;
    int count = 0;
    if (!fine(c, cublasLtMatmulPreferenceCreate(&wish), "choosing a way")) return false;
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    for (int i = 0; i < 4; i++) cublasLtMatmulPreferenceSetAttribute(wish, aligned[i], &alignment, sizeof alignment);
    cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(l->handle, p->operation, p->b, p->a, p->c, p->c, wish, 1, &found, &count);
    cublasLtMatmulPreferenceDestroy(wish);
    p->possible = status == CUBLAS_STATUS_SUCCESS && count > 0;
    if (p->possible) p->way = found.algo;
    return true;
}

/* The shape's entry, made where it is new; NULL, noted, when that failed. A full table is emptied. */
static plan *plan_for(cuda_context *c, library *l, const shape *s) {
    uint64_t at = hash_of(s) % PLANS;
    while (l->plans[at].used && memcmp(&l->plans[at].key, s, sizeof *s)) at = (at + 1) % PLANS;
    plan *p = &l->plans[at];
    if (p->used) return p;
    if (l->count >= PLANS / 2) {
        for (int i = 0; i < PLANS; i++) drop(&l->plans[i]);
        l->count = 0;
        p = &l->plans[hash_of(s) % PLANS];
    }
    p->used = true;
    p->key = *s;
    l->count++;
    return make_operation(c, p) && make_layouts(c, p) && choose_way(c, l, p) ? p : NULL;
}

bool products_run(cuda_context *c, const gemm_args *a) {
    library *l = (library *)c->products;
    const float one = 1;
    shape s = shape_of(a);
    plan *p = plan_for(c, l, &s);
    if (!p) return true; /* noted */
    if (!p->possible) return false;
    if (s.bias)
        cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &a->bias.data,
                                       sizeof a->bias.data);
    fine(c, cublasLtMatmul(l->handle, p->operation, &one, a->b.data, p->b, a->a.data, p->a, &a->beta, a->c.data, p->c,
                           a->c.data, p->c, &p->way, l->workspace, WORKSPACE, c->stream), "a product");
    return true;
}
