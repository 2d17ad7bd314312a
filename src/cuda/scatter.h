/* Rows that are added to rows of a table. Sorted by where they go, they form runs of equal ids, and pieces of PIECE
 * rows are summed at once, a column by one thread. A run within a piece goes to the table. One that goes on behind a
 * piece leaves its sums: at [0] where it began in an earlier piece, else at [1]; and the piece where it began then adds
 * up what all have left. So sums are formed in the order of rows, whatever the scheduling.
 *
 * Where the rows come from is the caller's: a source has a function load_row(row, column, x) that loads V columns. */
#ifndef CUDA_SCATTER_H
#define CUDA_SCATTER_H

#include "cuda/elements.h"
#include "cuda/sort.h"

enum { PIECE = 64, AHEAD = 8, SCATTER_PACK = 4 /* columns that a thread takes at once where it can */ };

typedef struct scatter {
    matrix table;
    const int32_t *id, *row; /* [rows], sorted */
    int32_t limit;           /* ids from here on go nowhere */
    int64_t rows;
    float *left; /* [pieces, 2, C] */
} scatter;

/* The sum of a run that ends before row i of the sorted ones, of a piece [from, to). */
template <class T, int V>
__device__ __forceinline__ void leave_run(const scatter &s, int64_t c, int64_t begin, int64_t i, int64_t from,
                                          int64_t to, const float (&sum)[V]) {
    int32_t id = s.id[begin];
    bool began_before = begin == from && from > 0 && s.id[from - 1] == id;
    bool goes_on = i == to && to < s.rows && s.id[to] == id;
    if (id >= s.limit) return;
    if (began_before || goes_on) {
        store<float, V>(s.left + (from / PIECE * 2 + (began_before ? 0 : 1)) * s.table.cols + c, sum);
        return;
    }
    T *at = row_of<T>(s.table, id) + c;
    float all[V];
    load<T, V>(at, all);
    for (int v = 0; v < V; v++) all[v] += sum[v];
    store<T, V>(at, all);
}

template <class S, class T, int V> __global__ void scatter_kernel(scatter s, S source) {
    int64_t c = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * V, from = (int64_t)blockIdx.x * PIECE;
    int64_t to = from + PIECE < s.rows ? from + PIECE : s.rows, begin = from;
    if (c >= s.table.cols || s.id[from] >= s.limit) return; /* so are all behind it */
    float sum[V] = {0};
    for (int64_t i = from; i < to; i += AHEAD) {
        float x[AHEAD][V]; /* loaded before any is needed */
#pragma unroll
        for (int k = 0; k < AHEAD; k++) source.template load_row<V>(s.row[i + k < to ? i + k : from], c, x[k]);
#pragma unroll
        for (int k = 0; k < AHEAD; k++) {
            if (i + k >= to) break;
            if (s.id[i + k] != s.id[begin]) {
                leave_run<T, V>(s, c, begin, i + k, from, to, sum);
                for (int v = 0; v < V; v++) sum[v] = 0;
                begin = i + k;
            }
            for (int v = 0; v < V; v++) sum[v] += x[k][v];
        }
    }
    leave_run<T, V>(s, c, begin, to, from, to, sum);
}

template <class T> __global__ void scatter_runs_kernel(scatter s) {
    int64_t c = (int64_t)blockIdx.y * blockDim.x + threadIdx.x, C = s.table.cols, piece = blockIdx.x;
    int64_t from = piece * PIECE, to = from + PIECE;
    if (c >= C || to >= s.rows) return;
    int32_t id = s.id[to - 1];
    bool began_before = from > 0 && s.id[from] == id && s.id[from - 1] == id;
    if (id >= s.limit || s.id[to] != id || began_before) return;
    float sum = s.left[(piece * 2 + 1) * C + c];
    for (int64_t p = piece + 1; p * PIECE < s.rows && s.id[p * PIECE] == id; p++) sum += s.left[p * 2 * C + c];
    T *at = row_of<T>(s.table, id) + c;
    put(at, to_float(*at) + sum);
}

/* table[ids[r]] += row r of the source, in the order of r; negative ids: nowhere. packs: the source can be taken in
 * packs of SCATTER_PACK columns. */
template <class S> void scatter_sums(cuda_context *c, matrix table, matrix ids, const S &source, bool packs) {
    int64_t rows = ids.rows, pieces = (rows + PIECE - 1) / PIECE, C = table.cols;
    if (!rows || !C) return;
    size_t list = scratch_piece((size_t)rows * sizeof(int32_t));
    size_t left = scratch_piece((size_t)(pieces * 2 * C) * sizeof(float));
    size_t sorting = sort_bytes(rows, (int32_t)table.rows);
    char *memory = (char *)cuda_scratch(c, 2 * list + left + sorting);
    if (!memory) return;
    scatter s = {table, (int32_t *)memory, (int32_t *)(memory + list), (int32_t)table.rows, rows,
                 (float *)(memory + 2 * list)};
    if (!sort_rows(c, ids, s.limit, (int32_t *)memory, (int32_t *)(memory + list), memory + 2 * list + left, sorting))
        return;
    dim3 grid((unsigned)pieces, (unsigned)((C + BLOCK / 2 - 1) / (BLOCK / 2)));
    dim3 quarter((unsigned)pieces, (unsigned)((C + 2 * BLOCK - 1) / (2 * BLOCK)));
    by_type(table.type, [&](auto t) {
        using T = decltype(t);
        if (packs && in_packs(table, SCATTER_PACK))
            LAUNCH((scatter_kernel<S, T, SCATTER_PACK>), quarter, BLOCK / 2, 0, c->stream, s, source);
        else LAUNCH((scatter_kernel<S, T, 1>), grid, BLOCK / 2, 0, c->stream, s, source);
        if (pieces > 1) LAUNCH((scatter_runs_kernel<T>), grid, BLOCK / 2, 0, c->stream, s);
    });
}

#endif
