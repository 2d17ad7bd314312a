/* Where the tests of models run: on the CPU, or on what PERCEIVER_TEST_DEVICE names, for example cuda; without that
 * device they are skipped, with the exit status that ctest knows.
 *
 * What is expected is the same everywhere: numbers of published code, or of plain arithmetic in double. A device has
 * no double precision, so what the CPU computes in double it computes in F32, and the tolerance is another. Of long
 * lists of cases it takes one of PERCEIVER_TEST_EVERY. What looks at device memory itself, counts what a backend is
 * asked for, or runs no kernels stays on the CPU (`on_host`). */
#ifndef TESTS_DEVICE_H
#define TESTS_DEVICE_H

#include "check.h"
#include "backends/registry.h"

enum { SKIPPED = 77 };

static inline const char *test_device(void) {
    const char *asked = getenv("PERCEIVER_TEST_DEVICE");
    return asked && *asked ? asked : "cpu";
}

static inline bool on_host(void) { return !strcmp(test_device(), "cpu"); }

/* Levels are the CPU's, a device takes its best. */
static inline backend *test_backend(const backend_options *asked) {
    backend_options options = asked ? *asked : (backend_options){0};
    backend *be;
    if (!on_host()) {
        options.level = NULL;
        if (options.precision == F64) options.precision = F32;
    }
    must(backend_open(&be, test_device(), &options, &err));
    return be;
}

static inline double test_tolerance(double host, double device) { return on_host() ? host : device; }

static inline int test_every(void) {
    const char *every = getenv("PERCEIVER_TEST_EVERY");
    return every && atoi(every) > 1 ? atoi(every) : 1;
}

/* Is case `number` of a long list taken? */
static inline bool test_takes(int number) { return number % test_every() == 0; }

/* Is there time for thousands of passes? Not in an emulator. */
static inline bool test_has_time(void) { return test_every() < 50; }

static inline bool device_is_there(void) {
    backend *be;
    pcv_error err = {0};
    if (on_host()) return true;
    if (backend_open(&be, test_device(), NULL, &err)) {
        print_message("[  SKIP    ] %s\n", err.message);
        return false;
    }
    be->close(be);
    return true;
}

/* For `main`: as cmocka_run_group_tests. */
#define run_on_device(tests, setup, teardown)                                                      \
    (device_is_there() ? cmocka_run_group_tests(tests, setup, teardown) : SKIPPED)

/* A test that stays on the CPU. */
#define host_only()                                                                                \
    do {                                                                                           \
        if (!on_host()) skip();                                                                    \
    } while (0)

#endif
