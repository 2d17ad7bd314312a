/* The operations that models are made of, in the order of a forward pass.
 *
 * Each is one file: formula, shape rule, forward, and a backward written by hand. Shapes are
 * [rows, columns]; rows run over sequences and, within one, over tokens. Letters: B batch, M keys,
 * N latents (queries), C channels, H heads, D head width, V vocabulary. Weight matrices are
 * [out, in]. Where a struct is passed, its tensors may be NULL when "or NULL" is said.
 *
 * They are few, because each needs a derivative and kernels of its own: what can be written with these is no op. */
#ifndef OPS_OPS_H
#define OPS_OPS_H

#include "tensor/tape.h"

/* Sum of rows of embedding tables (see embed_args): the tokens' table, learned position tables, and
 * a harmonic (sinusoidal or Fourier) position code; the code alone, too. -> [rows of ids or positions, C] */
typedef struct embed_spec {
    int tables;
    tensor *table[EMBED_TABLES]; /* [V_i, C] */
    tensor *ids[EMBED_TABLES];   /* I32 [rows, 1], negative: nothing */
    tensor *positions;           /* I32 [rows, 1], or NULL: no harmonic code */
    tensor *low, *high;          /* its two factors, [256, C] and [blocks, C] */
} embed_spec;
tensor *embed(tape *t, const embed_spec *spec);

/* y[r] = x[index[r]], zeros where the index is negative. -> [rows of index, C] */
tensor *gather(tape *t, tensor *x, tensor *index);

/* y = norm(x) (norm_args); w[1], b[1] and set choose a second set of weights by row, or NULL. */
typedef struct norm_spec {
    tensor *w[2], *b[2]; /* [1, C]; b NULL: none */
    tensor *set;         /* I32 [rows, 1], or NULL: all rows use the first */
    float epsilon;
    bool rms;
} norm_spec;
tensor *norm(tape *t, tensor *x, const norm_spec *spec);

/* The norm of a residual sum, *sum = add(x, a, p), in one pass over memory. -> norm(*sum) */
tensor *add_norm(tape *t, tensor *x, tensor *a, double p, const norm_spec *spec, tensor **sum);

/* y = x w^T + b. x [rows, in], w [out, in], b [1, out] or NULL. -> [rows, out] */
tensor *linear(tape *t, tensor *x, tensor *w, tensor *b);

/* Rotary position embedding (rotate_args), in place: returns x itself, which no op may have read
 * before. Attention of rotated queries and keys depends on differences of positions only. */
typedef struct rotate_spec {
    tensor *positions; /* I32 [rows, 1] */
    tensor *frequency; /* [1, bands] */
    int64_t heads, group, chosen;
    bool interleaved;
} rotate_spec;
tensor *rotate(tape *t, tensor *x, const rotate_spec *spec);

/* Attention over visible ranges of keys (attend_args). -> [B N, C]
 * Causality is a matter of begin and end: query at position p sees the keys up to p. */
typedef struct attend_spec {
    int64_t batch, heads;
    tensor *begin, *end; /* I32 [B N, 1] */
    tensor *hidden;      /* I32 [B M, 1], or NULL */
    tensor *slots;       /* I32 [B, 1] which `keys` rows of k and v each sequence reads, forward alone; or NULL */
    int64_t keys;        /* with slots */
    float scale;
} attend_spec;
tensor *attend(tape *t, tensor *q, tensor *k, tensor *v, const attend_spec *spec);

/* The same with relative positions (Dai et al. 2019, arXiv 1901.02860, section 3.3): query i scores key j with
 *     scale (q_i . k_j + p_i . r_d),  d = end_i - 1 - j, the distance of the query's own key.
 * q, p [B N, C]: the query with each of the two biases; r [distances, C], the last row for distance 0. Ends of the
 * queries that see anything grow by one from query to query. -> [B N, C] */
tensor *attend_relative(tape *t, tensor *q, tensor *p, tensor *k, tensor *v, tensor *r, const attend_spec *spec);

/* Attention over places that were found beforehand, by their matches' lengths and distances (found_args), through
 * which no gradient flows. value [V, D], length [H, classes], slope [1, H]. -> [rows, H D] */
typedef struct found_spec {
    int64_t places;                  /* P, of each of the H heads */
    tensor *next, *matched, *octaves; /* I32 [rows H P, 1] */
    float parts;                     /* of an octave */
} found_spec;
tensor *attend_found(tape *t, tensor *value, tensor *length, tensor *slope, const found_spec *spec);

/* For each of `batch` sequences its rows of the first input, then those of the next. -> [rows of all, C] */
tensor *stack_rows(tape *t, tensor *const in[], int inputs, int64_t batch);

/* Columns of a, then columns of b; what has fewer rows, a divisor of the other's, is repeated below itself.
 * -> [rows of the longer, columns of both] */
tensor *join_columns(tape *t, tensor *a, tensor *b);

/* Of x [rows, heads D] every head gets `width` columns: zeros behind its own, or the first of these.
 * -> [rows, heads width] */
tensor *resize_heads(tape *t, tensor *x, int64_t heads, int64_t width);

/* [rows, bins] what queries first, first + every, ... of one sequence look at (attend_map_args); not recorded. */
typedef struct map_spec {
    int64_t first, every, rows, bins, span, offset;
} map_spec;
tensor *attend_map(tape *t, tensor *q, tensor *k, const attend_spec *s, const map_spec *map);

/* y = f(x) (activation); the gated kinds halve the columns. */
tensor *activate(tape *t, tensor *x, activation kind);

/* y = x + dropout(a), dropout at rate p while the tape trains, else y = x + a. */
tensor *add(tape *t, tensor *x, tensor *a, double p);

/* The same but for the kernel, which is left to the caller: what it takes goes to *kernel. */
tensor *add_record(tape *t, tensor *x, tensor *a, double p, dropout_args *kernel);

/* Mean over groups of `group` consecutive rows. -> [rows / group, C] */
tensor *pool_rows(tape *t, tensor *x, int64_t group);

/* The largest of `of` rows of x each, column by column; index I32 [rows of, 1], negative: none, and 0 where there are
 * none. -> [rows, C] */
tensor *max_rows(tape *t, tensor *x, tensor *index, int64_t of);

/* y = (x - mean) / sqrt(variance + epsilon) w + b by columns, over all rows (Ioffe and Szegedy 2015, arXiv 1502.03167).
 * With `measure` mean and variance, exact, are x's and are written; else they are given. */
typedef struct column_norm_spec {
    tensor *w, *b, *mean, *variance; /* [1, C] */
    float epsilon;
    bool measure;
} column_norm_spec;
tensor *column_norm(tape *t, tensor *x, const column_norm_spec *spec);

/* The head and its loss in one: logits = x w^T + b in pieces of rows, so that neither logits nor
 * probabilities of the whole batch ever exist; the backward pass computes them again.
 * -> [rows, LOSS_COLUMNS]: the loss of each row, its plain cross-entropy, and 1 where the target came
 * first (cross_entropy_args). tape_backward(loss) differentiates the sum of weight[r] loss[r][0]. */
typedef struct cross_entropy_spec {
    tensor *w, *b;    /* head [V, C], [1, V] or NULL */
    tensor *targets;  /* I32 [rows, 1], negative: no loss */
    tensor *weight;   /* [rows, 1], or NULL when there is no backward pass */
    float smoothing, z_loss;
} cross_entropy_spec;
tensor *cross_entropy(tape *t, tensor *x, const cross_entropy_spec *spec);

/* How far each row of y, times scale, is from its target (distance_args). -> [rows, LOSS_COLUMNS], as cross_entropy. */
typedef struct distance_spec {
    distance_kind kind;
    float scale;
    tensor *target; /* exact, [rows, K] */
    tensor *counts; /* I32 [rows, 1], negative: no loss */
    tensor *weight; /* [rows, 1], or NULL when there is no backward pass */
} distance_spec;
tensor *distance(tape *t, tensor *y, const distance_spec *spec);

/* Rows of losses below each other; tape_backward goes on through all of them. -> [rows of all, LOSS_COLUMNS] */
tensor *stack_losses(tape *t, tensor *const in[], int inputs);

#endif
