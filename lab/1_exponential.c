/* Ladder 1: exponentials, the part of attention that is no product. One thread, 4,096 values in the first-level
 * cache, as a tile of scores is. */
#include "cpu/simd.h"
#include "lab.h"

#include <math.h>

enum { COUNT = 4096, ROUNDS = 200 };
static float in[COUNT], out[COUNT];

static void libm(void *unused) {
    (void)unused;
    for (int r = 0; r < ROUNDS; r++, lab_used())
        for (int i = 0; i < COUNT; i++) out[i] = expf(in[i]);
}

/* Powers of two by the exponent's bits, a Taylor series of six terms for the rest; scalar. */
static float series(float x) {
    float n = nearbyintf(x * 1.44269504f), r = x - n * 0.69314718f, p = 1.0f / 720;
    int32_t bits = ((int32_t)n + 127) << 23;
    float scale;
    for (int k = 5; k >= 0; k--) {
        static const float factor[] = {1, 1, 1.0f / 2, 1.0f / 6, 1.0f / 24, 1.0f / 120};
        p = p * r + factor[k];
    }
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static void scalar(void *unused) {
    (void)unused;
    for (int r = 0; r < ROUNDS; r++, lab_used())
        for (int i = 0; i < COUNT; i++) out[i] = series(in[i]);
}

static void vectors(void *unused) {
    (void)unused;
    for (int r = 0; r < ROUNDS; r++, lab_used())
        for (int i = 0; i < COUNT; i += VW) vf_store(out + i, vf_exp(vf_load(in + i)));
}

static double error(void) {
    double worst = 0;
    for (int i = 0; i < COUNT; i++) worst = fmax(worst, fabs((double)out[i] / exp((double)in[i]) - 1));
    return worst;
}

int main(void) {
    static const struct {
        const char *name;
        void (*call)(void *);
    } rungs[] = {{"expf of the C library", libm},
                 {"exponent bits and a series, left to the compiler", scalar},
                 {"the same by hand in vectors, minimax polynomial: vf_exp", vectors}};
    for (int i = 0; i < COUNT; i++) in[i] = -20 + 20 * (float)i / COUNT;
    for (int i = 0; i < 3; i++) {
        double seconds = lab_median(rungs[i].call, NULL);
        lab_rung(i + 1, rungs[i].name, 1e-9 * COUNT * ROUNDS / seconds, "G/s", error());
    }
    return 0;
}
