/* Sums over targets, and how sure their mean is.
 *
 * Targets of one window are correlated, so the standard error treats windows as the independent units: with window
 * sums s_b over n_b targets and mean m, var = sum (s_b - n_b m)^2 / n^2. One window alone says nothing of how windows
 * differ: undefined. */
#ifndef EVAL_TALLY_H
#define EVAL_TALLY_H

#include <math.h>
#include <stdint.h>

typedef struct tally {
    int64_t windows, tokens, hits, bytes, words;
    int64_t letters, digits; /* bytes that are letters, digits or white space; of them digits */
    double loss;
    double ss, sn, nn; /* sums over windows of s^2, s n, n^2 */
} tally;

/* A window of `count` targets that cost `loss` together. */
static inline void tally_window(tally *t, double loss, int64_t count) {
    if (!count) return;
    t->windows++;
    t->tokens += count;
    t->loss += loss;
    t->ss += loss * loss;
    t->sn += loss * (double)count;
    t->nn += (double)count * (double)count;
}

/* Of the mean; NAN: undefined. */
static inline double tally_error(const tally *t) {
    if (t->windows < 2) return NAN;
    double n = (double)t->tokens, mean = t->loss / n;
    double variance = (t->ss - 2 * mean * t->sn + mean * mean * t->nn) / (n * n);
    return sqrt(variance > 0 ? variance : 0);
}

#endif
