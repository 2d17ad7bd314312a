/* A tiny decoder-only Transformer with its backward pass written out by hand, in double precision, over
 * scalar loops and nothing of the library: what the tape's gradients must equal. */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

enum { ORACLE_T = 7, ORACLE_C = 12, ORACLE_H = 3, ORACLE_F = 20, ORACLE_V = 9, ORACLE_L = 2 };

/* Weights, or gradients, of everything; matrices are [out][in]. */
typedef struct oracle_block {
    double norm_w[ORACLE_C], norm_b[ORACLE_C];
    double q[ORACLE_C][ORACLE_C], k[ORACLE_C][ORACLE_C], v[ORACLE_C][ORACLE_C], o[ORACLE_C][ORACLE_C];
    double qb[ORACLE_C], kb[ORACLE_C], vb[ORACLE_C], ob[ORACLE_C];
    double mlp_norm_w[ORACLE_C], mlp_norm_b[ORACLE_C];
    double up[ORACLE_F][ORACLE_C], upb[ORACLE_F], down[ORACLE_C][ORACLE_F], downb[ORACLE_C];
} oracle_block;

typedef struct oracle_weights {
    double embedding[ORACLE_V][ORACLE_C], position[ORACLE_T][ORACLE_C];
    oracle_block layer[ORACLE_L];
    double norm_w[ORACLE_C], norm_b[ORACLE_C];
    double head[ORACLE_V][ORACLE_C], headb[ORACLE_V];
} oracle_weights;

/* Sum of the cross-entropies of targets[t] given ids[0..t]; adds to *grad, which starts at zero. */
double oracle_run(const oracle_weights *w, const int *ids, const int *targets, oracle_weights *grad);

#endif
