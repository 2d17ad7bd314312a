#include "oracle.h"

#include <math.h>
#include <string.h>

enum { T = ORACLE_T, C = ORACLE_C, H = ORACLE_H, F = ORACLE_F, V = ORACLE_V, D = C / H };

/* y = x w^T + b over n rows */
static void linear(int n, int out, int in, const double *x, const double *w, const double *b, double *y) {
    for (int t = 0; t < n; t++)
        for (int o = 0; o < out; o++) {
            y[t * out + o] = b[o];
            for (int i = 0; i < in; i++) y[t * out + o] += x[t * in + i] * w[o * in + i];
        }
}

/* dx += dy w, dw += dy^T x, db += sum dy */
static void linear_back(int n, int out, int in, const double *x, const double *w, const double *dy,
                        double *dx, double *dw, double *db) {
    for (int t = 0; t < n; t++)
        for (int o = 0; o < out; o++) {
            double g = dy[t * out + o];
            db[o] += g;
            for (int i = 0; i < in; i++) {
                dx[t * in + i] += g * w[o * in + i];
                dw[o * in + i] += g * x[t * in + i];
            }
        }
}

static void moments(const double *x, double *mean, double *rstd) {
    double variance = 0;
    *mean = 0;
    for (int c = 0; c < C; c++) *mean += x[c] / C;
    for (int c = 0; c < C; c++) variance += (x[c] - *mean) * (x[c] - *mean) / C;
    *rstd = 1 / sqrt(variance + 1e-5);
}

static void norm(const double *x, const double *w, const double *b, double *y) {
    for (int t = 0; t < T; t++) {
        double mean, rstd;
        moments(x + t * C, &mean, &rstd);
        for (int c = 0; c < C; c++) y[t * C + c] = (x[t * C + c] - mean) * rstd * w[c] + b[c];
    }
}

static void norm_back(const double *x, const double *w, const double *dy, double *dx, double *dw, double *db) {
    for (int t = 0; t < T; t++) {
        double mean, rstd, g = 0, gx = 0;
        moments(x + t * C, &mean, &rstd);
        for (int c = 0; c < C; c++) {
            double xh = (x[t * C + c] - mean) * rstd, d = dy[t * C + c];
            dw[c] += d * xh;
            db[c] += d;
            g += d * w[c] / C;
            gx += d * w[c] * xh / C;
        }
        for (int c = 0; c < C; c++) {
            double xh = (x[t * C + c] - mean) * rstd;
            dx[t * C + c] += rstd * (dy[t * C + c] * w[c] - g - xh * gx);
        }
    }
}

/* Everything that the backward pass of one layer reads. */
typedef struct activations {
    double x[T * C], n1[T * C], q[T * C], k[T * C], v[T * C], p[H][T][T], a[T * C];
    double y[T * C], n2[T * C], u[T * F], h[T * F];
} activations;

static void attention(activations *s) {
    memset(s->a, 0, sizeof s->a);
    for (int h = 0; h < H; h++)
        for (int i = 0; i < T; i++) {
            double sum = 0;
            for (int j = 0; j <= i; j++) {
                double dot = 0;
                for (int d = h * D; d < (h + 1) * D; d++) dot += s->q[i * C + d] * s->k[j * C + d];
                sum += s->p[h][i][j] = exp(dot / sqrt(D));
            }
            for (int j = 0; j <= i; j++) {
                s->p[h][i][j] /= sum;
                for (int d = h * D; d < (h + 1) * D; d++) s->a[i * C + d] += s->p[h][i][j] * s->v[j * C + d];
            }
        }
}

static void attention_back(const activations *s, const double *da, double *dq, double *dk, double *dv) {
    for (int h = 0; h < H; h++)
        for (int i = 0; i < T; i++) {
            double dp[T] = {0}, mean = 0;
            for (int j = 0; j <= i; j++)
                for (int d = h * D; d < (h + 1) * D; d++) {
                    dp[j] += da[i * C + d] * s->v[j * C + d];
                    dv[j * C + d] += s->p[h][i][j] * da[i * C + d];
                }
            for (int j = 0; j <= i; j++) mean += s->p[h][i][j] * dp[j];
            for (int j = 0; j <= i; j++) {
                double ds = s->p[h][i][j] * (dp[j] - mean) / sqrt(D);
                for (int d = h * D; d < (h + 1) * D; d++) {
                    dq[i * C + d] += ds * s->k[j * C + d];
                    dk[j * C + d] += ds * s->q[i * C + d];
                }
            }
        }
}

static void layer(const oracle_block *w, activations *s, double *out) {
    double o[T * C];
    norm(s->x, w->norm_w, w->norm_b, s->n1);
    linear(T, C, C, s->n1, w->q[0], w->qb, s->q);
    linear(T, C, C, s->n1, w->k[0], w->kb, s->k);
    linear(T, C, C, s->n1, w->v[0], w->vb, s->v);
    attention(s);
    linear(T, C, C, s->a, w->o[0], w->ob, o);
    for (int i = 0; i < T * C; i++) s->y[i] = s->x[i] + o[i];
    norm(s->y, w->mlp_norm_w, w->mlp_norm_b, s->n2);
    linear(T, F, C, s->n2, w->up[0], w->upb, s->u);
    for (int i = 0; i < T * F; i++) s->h[i] = s->u[i] > 0 ? s->u[i] * s->u[i] : 0;
    linear(T, C, F, s->h, w->down[0], w->downb, o);
    for (int i = 0; i < T * C; i++) out[i] = s->y[i] + o[i];
}

/* dx: in, the gradient of the layer's output; out, that of its input. */
static void layer_back(const oracle_block *w, const activations *s, double *dx, oracle_block *g) {
    double dh[T * F] = {0}, dn2[T * C] = {0}, da[T * C] = {0}, dn1[T * C] = {0};
    double dq[T * C] = {0}, dk[T * C] = {0}, dv[T * C] = {0};
    linear_back(T, C, F, s->h, w->down[0], dx, dh, g->down[0], g->downb);
    for (int i = 0; i < T * F; i++) dh[i] *= s->u[i] > 0 ? 2 * s->u[i] : 0;
    linear_back(T, F, C, s->n2, w->up[0], dh, dn2, g->up[0], g->upb);
    norm_back(s->y, w->mlp_norm_w, dn2, dx, g->mlp_norm_w, g->mlp_norm_b); /* dx is now dL/dy */
    linear_back(T, C, C, s->a, w->o[0], dx, da, g->o[0], g->ob);
    attention_back(s, da, dq, dk, dv);
    linear_back(T, C, C, s->n1, w->q[0], dq, dn1, g->q[0], g->qb);
    linear_back(T, C, C, s->n1, w->k[0], dk, dn1, g->k[0], g->kb);
    linear_back(T, C, C, s->n1, w->v[0], dv, dn1, g->v[0], g->vb);
    norm_back(s->x, w->norm_w, dn1, dx, g->norm_w, g->norm_b);
}

double oracle_run(const oracle_weights *w, const int *ids, const int *targets, oracle_weights *g) {
    static activations s[ORACLE_L];
    double x[T * C], n[T * C], logits[T * V], dlogits[T * V], dn[T * C] = {0}, dx[T * C] = {0}, loss = 0;
    for (int t = 0; t < T; t++)
        for (int c = 0; c < C; c++) x[t * C + c] = w->embedding[ids[t]][c] + w->position[t][c];
    for (int l = 0; l < ORACLE_L; l++) {
        memcpy(s[l].x, x, sizeof x);
        layer(&w->layer[l], &s[l], x);
    }
    norm(x, w->norm_w, w->norm_b, n);
    linear(T, V, C, n, w->head[0], w->headb, logits);
    for (int t = 0; t < T; t++) {
        double sum = 0;
        for (int v = 0; v < V; v++) sum += exp(logits[t * V + v]);
        loss += log(sum) - logits[t * V + targets[t]];
        for (int v = 0; v < V; v++) dlogits[t * V + v] = exp(logits[t * V + v]) / sum - (v == targets[t]);
    }
    linear_back(T, V, C, n, w->head[0], dlogits, dn, g->head[0], g->headb);
    norm_back(x, w->norm_w, dn, dx, g->norm_w, g->norm_b);
    for (int l = ORACLE_L - 1; l >= 0; l--) layer_back(&w->layer[l], &s[l], dx, &g->layer[l]);
    for (int t = 0; t < T; t++)
        for (int c = 0; c < C; c++) {
            g->embedding[ids[t]][c] += dx[t * C + c];
            g->position[t][c] += dx[t * C + c];
        }
    return loss;
}
