/* Ladder 3: one row times a matrix of weights that no cache holds (256 MiB of floats), the work of one generated
 * token. All threads; the rate is weights a second, because that is what a token waits for. */
#include "backends/registry.h"
#include "cpu/simd.h"
#include "lab.h"

#include <math.h>
#include <omp.h>

enum { OUT = 16384, IN = 4096 };
static float *weights, x[IN], y[OUT], expected[OUT];

static void one_thread(void *unused) {
    (void)unused;
    for (int n = 0; n < OUT; n++) {
        float sum = 0;
        for (int i = 0; i < IN; i++) sum += weights[(size_t)n * IN + (size_t)i] * x[i];
        y[n] = sum;
    }
}

static void all_threads(void *unused) {
    (void)unused;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < OUT; n++) {
        const float *w = weights + (size_t)n * IN;
        vf sum = vf_set(0);
        for (int i = 0; i < IN; i += VW) sum = vf_fma(vf_load(w + i), vf_load(x + i), sum);
        y[n] = vf_sum(sum);
    }
}

typedef struct kernel_run {
    backend *be;
    matrix w;
} kernel_run;

static void in_use(void *context) {
    kernel_run *r = context;
    run_kernel(r->be, gemm, .c = {y, 1, OUT, OUT, F32}, .a = {x, 1, IN, IN, F32}, .b = r->w, .transpose_b = true);
}

static double error(void) {
    double worst = 0, largest = 0;
    for (int i = 0; i < OUT; i++) {
        worst = fmax(worst, fabs((double)(y[i] - expected[i])));
        largest = fmax(largest, fabs((double)expected[i]));
    }
    return worst / largest;
}

int main(void) {
    static const dtype types[] = {F32, BF16, I8};
    static const char *const names[] = {"four rows of weights at once: gemv", "bf16 weights, widened in registers",
                                        "int8 weights and a factor a row, widened in registers"};
    kernel_run r[3];
    backend *be;
    if (backend_open(&be, "cpu", NULL, NULL)) return 1;
    for (int t = 0; t < 3; t++) {
        r[t] = (kernel_run){be, {.rows = OUT, .cols = IN, .stride = dtype_stride(types[t], IN), .type = types[t]}};
        if (backend_alloc(be, &r[t].w.data, matrix_bytes(&r[t].w), "the ladder", NULL)) return 1;
    }
    weights = r[0].w.data;
    for (size_t i = 0; i < (size_t)OUT * IN; i++) weights[i] = (float)((i * 7919 + 17) % 1009) / 504.5f - 1;
    for (int64_t i = 0; i < IN; i++) x[i] = (float)((i * 611953 + 3) % 1019) / 509.5f - 1;
    for (int t = 1; t < 3; t++) run_kernel(be, copy, .y = r[t].w, .x = r[0].w);
    in_use(&r[0]);
    memcpy(expected, y, sizeof y);
    double size = 1e-9 * OUT * IN;
    lab_rung(1, "a loop, one thread, left to the compiler", size / lab_median(one_thread, NULL), "G/s", error());
    lab_rung(2, "one dot product in vectors, all threads", size / lab_median(all_threads, NULL), "G/s", error());
    for (int t = 0; t < 3; t++) lab_rung(3 + t, names[t], size / lab_median(in_use, &r[t]), "G/s", error());
    for (int t = 0; t < 3; t++) backend_free(be, r[t].w.data, matrix_bytes(&r[t].w));
    be->close(be);
    return 0;
}
