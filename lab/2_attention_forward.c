/* Ladder 2: attention forward. One thread, one head of 64 channels, 512 queries, 4,096 keys, all visible. A FLOP is
 * counted for scores and sums alone (4 N M D), so that exponentials and packing show as lost rate. */
#include "backends/registry.h"
#include "cpu/simd.h"
#include "lab.h"

#include <math.h>

enum { N = 512, M = 4096, D = 64, TILE = 64 };
static float q[N][D], k[M][D], v[M][D], o[N][D], expected[N][D], scores[M];
static int32_t begin[N], end[N];
static float lse[N];

static void by_rows(void *unused) {
    (void)unused;
    for (int i = 0; i < N; i++) {
        float top = -INFINITY, sum = 0;
        for (int j = 0; j < M; j++) {
            scores[j] = 0;
            for (int d = 0; d < D; d++) scores[j] += q[i][d] * k[j][d];
            if (scores[j] > top) top = scores[j];
        }
        for (int d = 0; d < D; d++) o[i][d] = 0;
        for (int j = 0; j < M; j++) {
            float p = expf(scores[j] - top);
            sum += p;
            for (int d = 0; d < D; d++) o[i][d] += p * v[j][d];
        }
        for (int d = 0; d < D; d++) o[i][d] /= sum;
    }
}

/* Dot products along the vectors: every score ends with a sum across lanes. */
static void along_vectors(void *unused) {
    (void)unused;
    for (int i = 0; i < N; i++) {
        float top = -INFINITY, sum = 0;
        for (int j = 0; j < M; j++) {
            vf dot = vf_set(0);
            for (int d = 0; d < D; d += VW) dot = vf_fma(vf_load(&q[i][d]), vf_load(&k[j][d]), dot);
            scores[j] = vf_sum(dot);
            if (scores[j] > top) top = scores[j];
        }
        vf acc[D / VW], total = vf_set(0);
        for (int d = 0; d < D / VW; d++) acc[d] = vf_set(0);
        for (int j = 0; j < M; j += VW) {
            vf e = vf_exp(vf_load(scores + j) - vf_set(top));
            vf_store(scores + j, e);
            total = total + e;
        }
        for (int j = 0; j < M; j++)
            for (int d = 0; d < D / VW; d++) acc[d] = vf_fma(vf_set(scores[j]), vf_load(&v[j][d * VW]), acc[d]);
        sum = vf_sum(total);
        for (int d = 0; d < D / VW; d++) vf_store(&o[i][d * VW], acc[d] / vf_set(sum));
    }
}

/* Queries in the lanes, no reduction across them, one vector of queries at a time; keys in tiles. */
static void queries_in_lanes(void *unused) {
    (void)unused;
    float qt[D][VW], ot[D][VW], st[TILE][VW];
    for (int i = 0; i < N; i += VW) {
        vf top = vf_set(-1e30f), sum = vf_set(0);
        for (int d = 0; d < D; d++)
            for (int l = 0; l < VW; l++) qt[d][l] = q[i + l][d], ot[d][l] = 0;
        for (int at = 0; at < M; at += TILE) {
            vf old = top;
            for (int j = 0; j < TILE; j++) {
                vf s = vf_set(0);
                for (int d = 0; d < D; d++) s = vf_fma(vf_set(k[at + j][d]), vf_load(qt[d]), s);
                vf_store(st[j], s);
                top = vf_max(s, top);
            }
            vf alpha = vf_exp(old - top);
            sum = sum * alpha;
            for (int j = 0; j < TILE; j++) {
                vf e = vf_exp(vf_load(st[j]) - top);
                vf_store(st[j], e);
                sum = sum + e;
            }
            for (int d = 0; d < D; d++) {
                vf x = vf_load(ot[d]) * alpha;
                for (int j = 0; j < TILE; j++) x = vf_fma(vf_set(v[at + j][d]), vf_load(st[j]), x);
                vf_store(ot[d], x);
            }
        }
        for (int d = 0; d < D; d++) vf_store(ot[d], vf_load(ot[d]) / sum);
        for (int d = 0; d < D; d++)
            for (int l = 0; l < VW; l++) o[i + l][d] = ot[d][l];
    }
}

/* The kernel in use: as before, with a register tile of two vectors by six or eight rows, and packed keys. */
static void in_use(void *backend_) {
    backend *be = backend_;
    matrix big = {.rows = M, .cols = D, .stride = D}, small = {o, N, D, D, F32};
    matrix keys = big, values = big, queries = {q, N, D, D, F32};
    keys.data = k;
    values.data = v;
    run_kernel(be, attend_fwd, .o = small, .lse = {lse, N, 1, 1, F32}, .q = queries, .k = keys, .v = values,
               .begin = {begin, N, 1, 1, I32}, .end = {end, N, 1, 1, I32}, .batch = 1, .heads = 1, .scale = 1);
}

static double error(void) {
    double worst = 0;
    for (int i = 0; i < N; i++)
        for (int d = 0; d < D; d++) worst = fmax(worst, fabs((double)(o[i][d] - expected[i][d])));
    return worst;
}

int main(void) {
    static const struct {
        const char *name;
        void (*call)(void *);
    } rungs[] = {{"a row of scores at a time, left to the compiler", by_rows},
                 {"dot products in vectors, sums across lanes", along_vectors},
                 {"queries in lanes, tiles of 64 keys, running maximum", queries_in_lanes},
                 {"a register tile of 6 x 2 vectors, packed: attend_fwd", in_use}};
    backend *be;
    if (backend_open(&be, "cpu", &(backend_options){.threads = 1}, NULL)) return 1;
    for (int64_t i = 0; i < M * D; i++) {
        (&k[0][0])[i] = (float)((i * 7919 + 17) % 1009) / 504.5f - 1;
        (&v[0][0])[i] = (float)((i * 104729 + 5) % 1013) / 506.5f - 1;
        if (i < N * D) (&q[0][0])[i] = (float)((i * 611953 + 3) % 1019) / 2038.0f - 0.25f;
    }
    for (int i = 0; i < N; i++) end[i] = M;
    by_rows(NULL);
    memcpy(expected, o, sizeof o);
    for (int i = 0; i < 4; i++) {
        double seconds = lab_median(rungs[i].call, be);
        lab_rung(i + 1, rungs[i].name, 4e-9 * N * M * D / seconds, "GFLOP/s", error());
    }
    be->close(be);
    return 0;
}
