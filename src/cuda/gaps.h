/* Clears what lies between and behind the members of argument structs, so that equal arguments are equal bytes. By
 * hand: __builtin_clear_padding of GCC 12 clears members behind an array. A struct that gets another member does not
 * compile until it is named here. */
#ifndef CUDA_GAPS_H
#define CUDA_GAPS_H

#include "cuda/context.h"

#include <cstring>

template <class T, class... Members> static inline void clear_between(T &whole, Members &...member);

template <class T> static inline void clear_gaps(T &) {} /* a number has none */
template <class T, size_t N> static inline void clear_gaps(T (&list)[N]) {
    for (size_t i = 0; i < N; i++) clear_gaps(list[i]);
}

#define GAPS(type, ...)                                                                            \
    static inline void clear_gaps(type &whole) {                                                   \
        auto &[__VA_ARGS__] = whole;                                                               \
        clear_between(whole, __VA_ARGS__);                                                         \
    }
GAPS(matrix, data, rows, cols, stride, type)
GAPS(fill_args, y, value)
GAPS(copy_args, y, x, index, beta)
GAPS(gemm_args, c, a, b, bias, transpose_a, transpose_b, by_row, beta)
GAPS(column_sum_args, y, x, beta)
GAPS(embed_args, y, ids, table, tables, positions, low, high)
GAPS(dropout_args, y, x, a, p, beta, seed, step, node)
GAPS(norm_args, y, x, stats, set, w, b, sum, epsilon, rms)
GAPS(norm_bwd_args, dx, dy, x, stats, set, partial, w, dw, db, beta, beta_w, beta_b, rms)
GAPS(activate_args, y, x, kind)
GAPS(activate_bwd_args, dx, dy, x, kind)
GAPS(gather_args, y, x, index)
GAPS(gather_bwd_args, dx, dy, index, beta)
GAPS(pool_args, y, x, group, scale, beta, spread)
GAPS(max_rows_args, y, x, index, best, of)
GAPS(max_rows_bwd_args, dx, dy, best, beta)
GAPS(column_norm_args, y, x, w, b, mean, variance, epsilon, measure)
GAPS(column_norm_bwd_args, dx, dy, x, w, mean, variance, dw, db, beta, beta_w, beta_b, epsilon, measured)
GAPS(rotate_args, x, positions, frequency, heads, group, chosen, interleaved, sign)
GAPS(attend_args, o, lse, q, k, v, begin, end, hidden, p, r, slots, batch, heads, keys, scale)
GAPS(attend_map_args, fwd, map, first, every, span, offset)
GAPS(attend_bwd_args, fwd, grad_o, dq, dk, dv, dp, dr, delta, chunks, partial, partial_p, partial_r)
GAPS(found_args, o, value, length, slope, next, matched, octaves, heads, places, parts)
GAPS(found_bwd_args, fwd, grad_o, dvalue, dlength, dslope, p, ds)
GAPS(cross_entropy_args, logits, targets, loss, weight, grad, smoothing, z_loss)
GAPS(distance_args, y, target, counts, loss, weight, dy, kind, scale, beta)
GAPS(adamw_args, w, m, v, g, rounded, lr, beta1, beta2, epsilon, decay, correction1, correction2, grad_scale)
GAPS(average_args, average, w, decay)
GAPS(sum_squares_args, result, x)
#undef GAPS

/* The members, in the order in which they lie. */
template <class T, class... Members> static inline void clear_between(T &whole, Members &...member) {
    char *at = (char *)&whole, *end = at + sizeof whole;
    auto pass = [&](auto &m) {
        memset(at, 0, (size_t)((char *)&m - at));
        at = (char *)&m + sizeof m;
        clear_gaps(m);
    };
    (pass(member), ...);
    memset(at, 0, (size_t)(end - at));
}

#endif
