/* The CPU backend: its levels by name, how many threads there are, and how many a pass takes beside other programs. */
#include "check.h"
#include "backends/registry.h"
#include "base/available.h"
#include "cpu/crowd.h"

#include <sched.h>

static void opens_by_name(void **state) {
    (void)state;
    backend *be = NULL;
    const char *const *levels;
    pcv_error e;
    must(backend_levels(&levels, "cpu", &err));
    for (int i = 0; levels[i]; i++) {
        must(backend_open(&be, "cpu", &(backend_options){.level = levels[i]}, &err));
        assert_string_equal(be->name, "cpu");
        assert_string_equal(be->level, levels[i]);
        be->close(be);
    }
    must(backend_open(&be, NULL, NULL, &err));
    assert_string_equal(be->level, levels[0]);
    be->close(be);
    assert_int_equal(backend_open(&be, "toaster", NULL, &e), PCV_CONFIG);
    assert_string_equal(e.message, "--device: 'toaster' is not one of cpu, cuda, auto");
    assert_int_equal(backend_levels(&levels, "toaster", NULL), PCV_CONFIG);
    assert_int_equal(backend_open(&be, "cpu", &(backend_options){.level = "mmx"}, &e), PCV_CONFIG);
    assert_non_null(strstr(e.message, "plain, reference"));
}

static void level_of_the_environment(void **state) {
    (void)state;
    backend *be = NULL;
    pcv_error e;
    setenv("PERCEIVER_KERNELS", "plain", 1);
    must(backend_open(&be, "cpu", NULL, &err));
    assert_string_equal(be->level, "plain");
    be->close(be);
    must(backend_open(&be, "cpu", &(backend_options){.level = "reference"}, &err)); /* who names one means it */
    assert_string_equal(be->level, "reference");
    be->close(be);
    setenv("PERCEIVER_KERNELS", "plane", 1);
    assert_int_equal(backend_open(&be, "cpu", NULL, &e), PCV_CONFIG);
    assert_non_null(strstr(e.message, "PERCEIVER_KERNELS: 'plane' is not one of "));
    assert_non_null(strstr(e.message, "plain, reference; did you mean 'plain'?"));
    unsetenv("PERCEIVER_KERNELS");
}

/* ------------------------------------------------------------------ subnormal numbers */

static matrix floats(backend *be, int64_t rows, int64_t cols, float value) {
    matrix m = {.rows = rows, .cols = cols, .stride = cols, .type = F32};
    must(backend_alloc(be, &m.data, matrix_bytes(&m), "a matrix", &err));
    run_kernel(be, fill, .y = m, .value = value);
    return m;
}

static matrix ints(backend *be, int64_t rows, int32_t value) {
    matrix m = {.rows = rows, .cols = 1, .stride = 1, .type = I32};
    must(backend_alloc(be, &m.data, matrix_bytes(&m), "numbers", &err));
    for (int64_t i = 0; i < rows; i++) ((int32_t *)m.data)[i] = value;
    return m;
}

static float value_at(matrix m, int64_t i) { return ((const float *)m.data)[i]; }

static void give_back(backend *be, matrix *m, int count) {
    for (int i = 0; i < count; i++) backend_free(be, m[i].data, matrix_bytes(&m[i]));
}

/* Moments whose weights get no gradient any more end at 0, and not among numbers that take a hundred times as long. */
static void moments_end(backend *be) {
    enum { N = 37 };
    matrix a[] = {floats(be, 1, N, 1), floats(be, 1, N, 1e-30f), floats(be, 1, N, 1e-34f), floats(be, 1, N, 1e-18f)};
    run_kernel(be, adamw, .w = a[0], .m = a[1], .v = a[2], .g = a[3], .lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.9f,
               .epsilon = 1e-8f, .correction1 = 1, .correction2 = 1, .grad_scale = 1);
    for (int i = 0; i < N; i++) {
        assert_true(value_at(a[0], i) == 1);
        assert_true(value_at(a[1], i) == 0 && value_at(a[2], i) == 0);
    }
    give_back(be, a, 4);
}

/* Two keys, of which the second has a share of e^-60: it is as if it were not there, in either direction. */
static void shares_end(backend *be, int64_t queries) {
    enum { D = 16 };
    matrix a[] = {floats(be, queries, D, 0), floats(be, queries, 1, 0), floats(be, queries, D, 1), floats(be, 2, D, 0),
                  floats(be, 2, D, 0), floats(be, queries, D, 1e-3f), floats(be, queries, D, 0), floats(be, 2, D, 0),
                  floats(be, 2, D, 0), floats(be, queries, 1, 0)};
    matrix range[] = {ints(be, queries, 0), ints(be, queries, 2)};
    for (int i = 0; i < D; i++) {
        ((float *)a[3].data)[D + i] = -60.0f / D;
        ((float *)a[4].data)[D + i] = 1e20f;
    }
    attend_args f = {.o = a[0], .lse = a[1], .q = a[2], .k = a[3], .v = a[4], .begin = range[0], .end = range[1],
                     .batch = 1, .heads = 1, .scale = 1};
    run_kernel_args(be, attend_fwd, &f);
    for (int64_t i = 0; i < queries * D; i++) assert_true(value_at(a[0], i) == 0);
    attend_bwd_args b = {.fwd = f, .grad_o = a[5], .dq = a[6], .dk = a[7], .dv = a[8], .delta = a[9], .chunks = 1};
    run_kernel_args(be, attend_bwd, &b);
    for (int64_t i = 0; i < D; i++) {
        assert_true(value_at(a[8], i) > 0 && value_at(a[8], D + i) == 0);
        assert_true(value_at(a[7], D + i) == 0);
    }
    give_back(be, a, 10);
    give_back(be, range, 2);
}

static void no_subnormal_numbers(void **state) {
    (void)state;
    const char *const *levels;
    must(backend_levels(&levels, "cpu", &err));
    for (int i = 0; levels[i]; i++) {
        backend *be = NULL;
        if (!strcmp(levels[i], "reference")) continue; /* plain loops leave them as they are */
        must(backend_open(&be, "cpu", &(backend_options){.level = levels[i], .threads = 1}, &err));
        moments_end(be);
        shares_end(be, 1);
        shares_end(be, 40);
        be->close(be);
    }
}

/* ------------------------------------------------------------------ threads */

static void counts(void **state) {
    (void)state;
    int cores = cores_available();
    assert_true(cores >= 1);
    assert_int_equal(threads_available(1), 1);
    assert_int_equal(threads_available(cores), cores);
    assert_int_equal(threads_available(cores + 1), cores);
    assert_int_equal(threads_available((int64_t)1 << 40), cores);
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = CPU_SETSIZE - 1; i >= 0 && !CPU_COUNT(&one); i--)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(cores_available(), 1);
    assert_int_equal(threads_available(2), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

/* Work per second of so many threads: idle, the more the faster; shared with others, the fewer. */
static double rate_of(int threads, bool shared) { return shared ? 50.0 / threads : 50.0 * threads; }

/* Runs so many stretches and counts those that took the most, and the fewest, threads. */
static void stretches(crowd *p, int most, bool shared, int count, int *with_most, int *alone) {
    *with_most = *alone = 0;
    for (int i = 0; i < count; i++) {
        int threads = crowd_threads(p, most);
        assert_in_range(threads, 1, most);
        *with_most += threads == most;
        *alone += threads == 1;
        crowd_stretch(p, most, rate_of(threads, shared), shared, true);
    }
}

static void paces(void **state) {
    (void)state;
    static const int mosts[] = {2, 3, 16};
    for (int i = 0; i < 3; i++) {
        int most = mosts[i], all, alone;
        crowd p = {0};
        stretches(&p, most, false, 1000, &all, &alone);
        assert_int_equal(all, 1000); /* nothing to try */
        stretches(&p, most, true, 1000, &all, &alone);
        assert_in_range(alone, 900, 999);
        stretches(&p, most, false, 200, &all, &alone); /* the others went */
        assert_in_range(all, 50, 199);
        stretches(&p, most, false, 100, &all, &alone);
        assert_int_equal(all, 100);
    }
}

/* Kernels so long that threads hardly wait stay on all of them, but for rare trials; long passes without any. */
static void long_kernels(void **state) {
    (void)state;
    crowd p = {0};
    int all = 0;
    for (int i = 0; i < 1000; i++) {
        int threads = crowd_threads(&p, 2);
        all += threads == 2;
        crowd_stretch(&p, 2, rate_of(threads, false), true, true);
    }
    assert_in_range(all, 970, 990);
    p = (crowd){0};
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(crowd_threads(&p, 2), 2);
        crowd_stretch(&p, 2, 1, true, false);
    }
}

/* Passes of no length begin with one thread, whoever uses the cores, and take more where these are faster. */
static void tiny_passes(void **state) {
    (void)state;
    for (int faster = 0; faster < 2; faster++) {
        crowd p = {0};
        int all = 0;
        assert_int_equal(crowd_threads(&p, 2), 2); /* nobody knows yet */
        assert_false(crowd_is_tiny(&p, 0.02));
        assert_true(crowd_is_tiny(&p, 0.001));
        assert_false(crowd_is_tiny(&p, 0.001)); /* it is settled */
        assert_int_equal(crowd_threads(&p, 2), 1);
        for (int i = 0; i < 200; i++) {
            int threads = crowd_threads(&p, 2);
            all += threads == 2;
            crowd_stretch(&p, 2, rate_of(threads, !faster), false, true);
        }
        if (faster) assert_int_equal(all, 199);
        else assert_in_range(all, 2, 10);
    }
    crowd p = {0};
    crowd_threads(&p, 2);
    crowd_stretch(&p, 2, 1, false, true);
    assert_false(crowd_is_tiny(&p, 0.001)); /* the first stretch is over */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(opens_by_name), cmocka_unit_test(level_of_the_environment),
                                       cmocka_unit_test(no_subnormal_numbers), cmocka_unit_test(counts),
                                       cmocka_unit_test(paces),
                                       cmocka_unit_test(long_kernels), cmocka_unit_test(tiny_passes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
