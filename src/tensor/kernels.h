/* The kernel table: everything that a backend computes. A backend fills one slot per name with a
 * function of (its context, the arguments); ops call slots through run_kernel (backend.h) and nothing
 * else touches tensor data.
 *
 * Conventions. Matrices are as in matrix.h. `beta` says what happens to the old contents of an
 * output gradient: 0 overwrites (the old contents may be garbage), 1 adds. Reals are of the backend's type `real`;
 * statistics, losses, logits, position codes, gradients of weights, masters and moments of its type `exact`. A
 * kernel's result does not depend on the number of threads: every sum is cut into parts by its shape alone.
 * Gradients are called dx for x. */
#ifndef TENSOR_KERNELS_H
#define TENSOR_KERNELS_H

#include "tensor/matrix.h"

#include <stdbool.h>

/* y = value */
typedef struct fill_args {
    matrix y;
    float value;
} fill_args;

/* y = beta y + x, beta 0 unless both are reals or exact. Types may differ: F32 is rounded to BF16 or I8, and these
 * become F32. With `index` (I32 [rows of x, 1]) row r of x goes to row index[r] of y; negative: nowhere. */
typedef struct copy_args {
    matrix y, x, index;
    float beta;
} copy_args;

/* C [m, n] = A' B' + beta C + bias, A' = A [m, k] or A [k, m] transposed, B' likewise [k, n].
 * bias [1, n] may be absent; beta is 0 or 1. B [n, k], transposed, may be BF16 or I8. `by_row` (with A as it lies
 * and B transposed): each row of C has the bits that it would have alone. */
typedef struct gemm_args {
    matrix c, a, b, bias;
    bool transpose_a, transpose_b, by_row;
    float beta;
} gemm_args;

/* y [1, n] = beta y + the sum of the rows of x [m, n] */
typedef struct column_sum_args {
    matrix y, x;
    float beta;
} column_sum_args;

/* Token and position embedding: y[r] = table[0][ids[0][r]] + table[1][ids[1][r]] + ..., and, where
 * `low` and `high` are given, + the harmonic code of positions[r], a sum of angles:
 * code(p) = sin or cos of (p mod 256) f + (p div 256) 256 f + phase; low [256, C] holds the first
 * angle's sin and cos, high [blocks, C] the second's, sines in the first half of the columns.
 * A negative id adds nothing. ids and positions are I32 [rows, 1]. */
enum { EMBED_TABLES = 5, HARMONIC_BLOCK = 256 };
typedef struct embed_args {
    matrix y; /* in embed_bwd: dy */
    matrix ids[EMBED_TABLES], table[EMBED_TABLES]; /* in embed_bwd: dtable, added to */
    int tables;
    matrix positions, low, high;
} embed_args;

/* y = x + mask a / (1 - p), where mask is 0 with probability p; element i of the op draws from the
 * stream (seed, RNG_DROPOUT, step, node 2^32 + i). x may be absent (y = mask a / (1 - p)). */
typedef struct dropout_args {
    matrix y, x, a;
    float p, beta; /* y = beta y + ... */
    uint64_t seed;
    uint32_t step, node;
} dropout_args;

/* Layer norm (Ba et al. 2016) y = (x - mean) rstd w + b, or RMS norm (Zhang and Sennrich 2019)
 * y = x rstd w, per row, where rstd = 1 / sqrt(variance + epsilon). Two sets of w and b [1, C] can
 * be given; set [rows, 1] I32 then says which one a row uses. stats [rows, 2] holds mean, rstd. Where sum.y is given,
 * it is x, and is computed first, as by dropout. */
typedef struct norm_args {
    matrix y, x, stats, set;
    matrix w[2], b[2];
    dropout_args sum;
    float epsilon;
    bool rms;
} norm_args;

/* dx = beta dx + ..., dw[i] and db[i] added to with beta_w[i], beta_b[i]. Absent outputs are
 * skipped. partial [parts, 4 C] is scratch for as many parts as the backend's norm_parts says. */
typedef struct norm_bwd_args {
    matrix dx, dy, x, stats, set, partial;
    matrix w[2], dw[2], db[2];
    float beta, beta_w[2], beta_b[2];
    bool rms;
} norm_bwd_args;

/* y = f(x). The gated kinds take x = [gate, value], twice as wide as y: y = f(gate) value. */
typedef enum activation {
    SQUARED_RELU, /* max(0, x)^2 (So et al. 2021) */
    GELU,         /* x Phi(x) (Hendrycks and Gimpel 2016) */
    GELU_TANH,    /* its tanh approximation */
    RELU,
    SWIGLU, /* silu(gate) value (Shazeer 2020) */
    GEGLU,  /* gelu_tanh(gate) value */
    ACTIVATIONS
} activation;
typedef struct activate_args {
    matrix y, x;
    activation kind;
} activate_args;
typedef struct activate_bwd_args {
    matrix dx, dy, x; /* dx is overwritten and may be dy (the kinds without gate) */
    activation kind;
} activate_bwd_args;

/* y[r] = x[index[r]]; a negative index gives a row of zeros. index I32 [rows, 1]. */
typedef struct gather_args {
    matrix y, x, index;
} gather_args;

/* dx = beta dx; dx[index[r]] += dy[r], in the order of r. */
typedef struct gather_bwd_args {
    matrix dx, dy, index;
    float beta;
} gather_bwd_args;

/* y[r] = beta y[r] + scale (x[r g] + ... + x[r g + g - 1]), or, `spread`, its adjoint
 * y[r] = beta y[r] + scale x[r div g]. */
typedef struct pool_args {
    matrix y, x;
    int64_t group;
    float scale, beta;
    bool spread;
} pool_args;

/* y[r] = the largest of x[index[r of + i]], i < of, in each column, the first of equal ones; negative indices are none,
 * and of none y is 0. index I32 [rows of, 1]; best I32 [rows, C] takes the row of x, or -1. */
typedef struct max_rows_args {
    matrix y, x, index, best;
    int64_t of;
} max_rows_args;

/* dx = beta dx; dx[best[r, c], c] += dy[r, c], in the order of r. */
typedef struct max_rows_bwd_args {
    matrix dx, dy, best;
    float beta;
} max_rows_bwd_args;

/* y = (x - mean) / sqrt(variance + epsilon) w + b by columns; mean and variance exact [1, C], with `measure` those of
 * the rows of x, the variance their mean squared difference, which are then written. */
typedef struct column_norm_args {
    matrix y, x, w, b, mean, variance;
    float epsilon;
    bool measure;
} column_norm_args;

/* dx = beta dx + ..., dw and db likewise; absent outputs are skipped. */
typedef struct column_norm_bwd_args {
    matrix dx, dy, x, w, mean, variance, dw, db;
    float beta, beta_w, beta_b, epsilon;
    bool measured;
} column_norm_bwd_args;

/* Rotary position embedding (Su et al. 2021) in place: in every head of D columns that is chosen,
 * pair j of the first 2 bands channels turns by positions[r] * frequency[j]. Interleaved: channels
 * 2j, 2j+1 form a pair; otherwise j and j + bands. Head h is chosen when h mod group < chosen.
 * The angle is the float32 product, as in the published code; sign -1 turns back. */
typedef struct rotate_args {
    matrix x, positions, frequency; /* positions I32 [rows, 1], frequency F32 [1, bands] */
    int64_t heads, group, chosen;
    bool interleaved;
    float sign;
} rotate_args;

/* Attention. For sequence s of `batch`, head h, and each query row i of its N rows:
 *     o_i = sum over visible j of softmax_j(scale q_i . k_j) v_j,
 * keys j in [begin_i, end_i) of its M rows, rows of begin and end I32 [batch N, 1]. A key whose
 * hidden[s M + j] is not 0 is seen by query i = j alone. No visible key: o_i = 0. q, o
 * [batch N, H D]; k, v [batch M, H D]; lse [batch N, H] keeps the logarithm of the sum of
 * exponentials, +infinity where no key is visible. Neither direction stores an N x M matrix. Forward, k and v
 * may be BF16 or I8. k and v may also hold `keys` rows for each of many sequences, of which sequence s of the batch
 * reads those of number slots[s] (I32 [batch, 1]); forward alone, and without `hidden`.
 * With p [batch N, H D] and r [distances, H D] the score becomes scale (q_i . k_j + p_i . r[distances - end_i + j])
 * (Dai et al. 2019): r's last row belongs to a query's last visible key, its own, at distance 0. The queries of a
 * sequence that see anything then have ends that grow by one from row to row, and at most `distances` keys. */
typedef struct attend_args {
    matrix o, lse, q, k, v, begin, end, hidden, p, r, slots;
    int64_t batch, heads;
    int64_t keys; /* of a sequence, with slots; else M is the rows of k / batch */
    float scale;
} attend_args;

/* What attention looks at: map[r, b] = the mean over heads of the probability that query every r gives to the keys
 * of bin b = (offset + key) bins / span. map [rows, bins]; the rest as in attend_args, for one sequence. */
typedef struct attend_map_args {
    attend_args fwd; /* o and lse are not read */
    matrix map;
    int64_t first, every; /* row r of the map shows query first + r every */
    int64_t span;         /* keys of all bins together, at least offset + M */
    int64_t offset;       /* of key 0 within them */
} attend_map_args;

/* dq, dk, dv are overwritten; they may be strided. */
typedef struct attend_bwd_args {
    attend_args fwd;
    matrix grad_o, dq, dk, dv; /* grad_o: dL/do */
    matrix dp, dr;             /* overwritten, where fwd has p and r */
    matrix delta;              /* scratch [batch N, H]: rows of o . do */
    int64_t chunks;            /* of the keys: as many as the backend's attend_chunks says */
    matrix partial, partial_p; /* scratch [chunks batch N, H D] for dq and dp, where there are several */
    matrix partial_r;          /* scratch [batch chunks distances, H D] for dr */
} attend_bwd_args;

/* Attention over places that were found beforehand (model/ngram_index.h). Head h of row r looks at P places, entry
 * (r H + h) P + i of next, matched and octaves (I32 [rows H P, 1]) for place i: the token that stands behind it,
 * negative where there is no such place; the class of its match's length; and log2 of its distance in parts of an
 * octave.
 *     s_i = length[h][matched_i] - slope[h] octaves_i / parts,  s of nothing: length[h][0]
 *     o[r, h] = sum over i of softmax_i(s) value[next_i]
 * o [rows, H D]; value [V, D], length [H, classes], slope [1, H]. What is nothing adds a value of zeros. */
enum { MOST_PLACES = 128 }; /* P */
typedef struct found_args {
    matrix o, value, length, slope, next, matched, octaves;
    int64_t heads, places; /* H, P */
    float parts;
} found_args;

/* dvalue, dlength and dslope are added to. */
typedef struct found_bwd_args {
    found_args fwd; /* o is not read */
    matrix grad_o, dvalue, dlength, dslope;
    matrix p, ds; /* scratch [rows, H (P + 1)]: probabilities and gradients of scores, of nothing first */
} found_bwd_args;

/* Cross-entropy of rows of logits against target ids (I32 [rows, 1], negative: the row counts
 * nothing), with label smoothing e and z-loss z (official Perceiver AR):
 *     t = (1 - e) on the target, e / (V - 1) elsewhere;  Z = sum_v exp(logit_v)
 *     loss = - sum_v t_v log softmax_v + z (log Z)^2 - H0,  H0 the entropy of t
 * loss [rows, LOSS_COLUMNS] takes that value, the plain -log softmax of the target, and 1 where the
 * target has the largest logit. The backward slot gives the logits' gradient times weight[r] ([rows, 1]):
 *     grad_v = weight ((1 + 2 z log Z) softmax_v - t_v),
 * as reals [rows, V]; it may be the logits' own memory where they are of that type. */
enum { LOSS_VALUE, LOSS_NATS, LOSS_HIT, LOSS_COLUMNS }; /* of distances the second is no nats, but the first again */
typedef struct cross_entropy_args {
    matrix logits, targets, loss, weight, grad;
    float smoothing, z_loss;
} cross_entropy_args;

/* How far rows of y, times `scale`, are from the exact target [rows, K], counts I32 [rows, 1] (negative: the row counts
 * nothing):
 *     squared    mean over k (scale y_k - t_k)^2
 *     absolute   mean over k |scale y_k - t_k|
 *     end point  |scale y - t|, the Euclidean distance
 *     sigmoid    mean over k of - t_k log s(scale y_k) - (1 - t_k) log s(- scale y_k), s(x) = 1 / (1 + exp(-x))
 * loss [rows, LOSS_COLUMNS] takes it twice, and 0. The backward slot: dy = beta dy + weight[r] times its gradient,
 * which is 0 where a distance is. */
typedef enum distance_kind { DISTANCE_SQUARED, DISTANCE_ABSOLUTE, DISTANCE_END_POINT, DISTANCE_SIGMOID } distance_kind;
typedef struct distance_args {
    matrix y, target, counts, loss, weight, dy;
    distance_kind kind;
    float scale, beta;
} distance_args;

/* One step of AdamW (Loshchilov and Hutter 2019) over a flat range:
 *     m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2, g scaled by grad_scale first
 *     w -= lr (m / c1 / (sqrt(v / c2) + epsilon) + decay w),  c = 1 - b^t
 * Where `rounded` is given, the new w goes there too, as reals. */
typedef struct adamw_args {
    matrix w, m, v, g, rounded; /* [1, n] */
    float lr, beta1, beta2, epsilon, decay, correction1, correction2, grad_scale;
} adamw_args;

/* average = decay average + (1 - decay) w */
typedef struct average_args {
    matrix average, w;
    float decay;
} average_args;

/* result [1, 1] = sum of squares of x [1, n]; not finite when any element is not. */
typedef struct sum_squares_args {
    matrix result, x;
} sum_squares_args;

/* One row per slot: X(slot name, argument type). */
#define KERNELS(X)                                                                                 \
    X(fill, fill_args)                                                                             \
    X(copy, copy_args)                                                                             \
    X(gemm, gemm_args)                                                                             \
    X(column_sum, column_sum_args)                                                                 \
    X(embed_fwd, embed_args)                                                                       \
    X(embed_bwd, embed_args)                                                                       \
    X(norm_fwd, norm_args)                                                                         \
    X(norm_bwd, norm_bwd_args)                                                                     \
    X(activate_fwd, activate_args)                                                                 \
    X(activate_bwd, activate_bwd_args)                                                             \
    X(dropout, dropout_args)                                                                       \
    X(gather_fwd, gather_args)                                                                     \
    X(gather_bwd, gather_bwd_args)                                                                 \
    X(pool, pool_args)                                                                             \
    X(max_rows_fwd, max_rows_args)                                                                 \
    X(max_rows_bwd, max_rows_bwd_args)                                                             \
    X(column_norm_fwd, column_norm_args)                                                           \
    X(column_norm_bwd, column_norm_bwd_args)                                                       \
    X(rotate, rotate_args)                                                                         \
    X(attend_fwd, attend_args)                                                                     \
    X(attend_bwd, attend_bwd_args)                                                                 \
    X(attend_map, attend_map_args)                                                                 \
    X(found_fwd, found_args)                                                                       \
    X(found_bwd, found_bwd_args)                                                                   \
    X(cross_entropy_fwd, cross_entropy_args)                                                       \
    X(cross_entropy_bwd, cross_entropy_args)                                                       \
    X(distance_fwd, distance_args)                                                                 \
    X(distance_bwd, distance_args)                                                                 \
    X(adamw, adamw_args)                                                                           \
    X(average, average_args)                                                                       \
    X(sum_squares, sum_squares_args)

typedef struct kernels {
#define KERNEL_SLOT(name, type) void (*name)(void *context, const type *args);
    KERNELS(KERNEL_SLOT)
#undef KERNEL_SLOT
} kernels;

/* Names of the slots in the order of the table. */
enum {
#define KERNEL_INDEX(name, type) KERNEL_##name,
    KERNELS(KERNEL_INDEX)
#undef KERNEL_INDEX
        KERNEL_COUNT
};
extern const char *const kernel_names[KERNEL_COUNT];

#endif
