/* Columns of tensors put side by side: y takes pieces of its inputs' columns, and zeros where there is no piece. An
 * input of fewer rows is repeated below itself. dL/dx is what lies in dy where x was put, summed over its repetitions;
 * columns that were not put have none. */
#include "ops/ops.h"

#include <string.h>

/* Columns [from, from + count) of input `in` become columns [to, to + count) of y. */
typedef struct piece {
    int in;
    int64_t from, to, count;
} piece;

typedef struct columns_saved {
    int64_t count;
    piece piece[];
} columns_saved;

static void put(tape *t, matrix y, matrix x, const piece *p, float beta) {
    tape_kernel(t, copy, .y = matrix_columns(y, p->to, p->count), .x = matrix_columns(x, p->from, p->count),
                .beta = beta);
}

static void columns_backward(tape *t, const node *n) {
    const columns_saved *s = n->saved;
    matrix dy = n->out->grad;
    for (int in = 0; in < n->inputs; in++) {
        int64_t rows = n->in[in]->m.rows, covered = 0;
        float beta = 0;
        matrix dx = tape_grad(t, n->in[in], &beta);
        if (!dx.data) continue;
        for (int64_t i = 0; i < s->count; i++) covered += s->piece[i].in == in ? s->piece[i].count : 0;
        if (beta == 0 && covered < dx.cols) tape_kernel(t, fill, .y = dx, .value = 0);
        for (int64_t at = 0; at < dy.rows; at += rows, beta = 1)
            for (int64_t i = 0; i < s->count; i++) {
                const piece *p = &s->piece[i], back = {.from = p->to, .to = p->from, .count = p->count};
                if (p->in == in) put(t, dx, matrix_rows(dy, at, rows), &back, beta);
            }
    }
}

static tensor *columns(tape *t, tensor *const in[], int inputs, int64_t rows, int64_t cols, const piece *list,
                       int64_t count) {
    tensor *y = tape_tensor(t, rows, cols);
    int64_t covered = 0;
    for (int64_t i = 0; i < count; i++) covered += list[i].count;
    if (covered < cols) tape_kernel(t, fill, .y = y->m, .value = 0);
    for (int64_t i = 0; i < count; i++)
        for (int64_t at = 0, n = in[list[i].in]->m.rows; at < rows; at += n)
            put(t, matrix_rows(y->m, at, n), in[list[i].in]->m, &list[i], 0);
    size_t bytes = (size_t)count * sizeof *list;
    node *n = tape_record(t, columns_backward, y, in, inputs, sizeof(columns_saved) + bytes);
    if (!n) return y;
    columns_saved *s = n->saved;
    s->count = count;
    memcpy(s->piece, list, bytes);
    return y;
}

tensor *join_columns(tape *t, tensor *a, tensor *b) {
    if (t->status) return &t->nothing;
    int64_t rows = a->m.rows > b->m.rows ? a->m.rows : b->m.rows;
    CHECK(rows % a->m.rows == 0 && rows % b->m.rows == 0, "a [%lld, %lld], b [%lld, %lld]", (long long)a->m.rows,
          (long long)a->m.cols, (long long)b->m.rows, (long long)b->m.cols);
    const piece list[] = {{0, 0, 0, a->m.cols}, {1, 0, a->m.cols, b->m.cols}};
    return columns(t, (tensor *[]){a, b}, 2, rows, a->m.cols + b->m.cols, list, 2);
}

tensor *resize_heads(tape *t, tensor *x, int64_t heads, int64_t width) {
    if (t->status) return &t->nothing;
    CHECK(heads > 0 && x->m.cols % heads == 0, "%lld columns, %lld heads", (long long)x->m.cols, (long long)heads);
    int64_t before = x->m.cols / heads, count = before < width ? before : width;
    if (before == width) return x;
    piece *list = tape_host(t, (size_t)heads * sizeof *list);
    if (!list) return &t->nothing;
    for (int64_t h = 0; h < heads; h++) list[h] = (piece){0, h * before, h * width, count};
    return columns(t, &x, 1, x->m.rows, heads * width, list, heads);
}
