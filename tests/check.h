/* What every test file includes: cmocka, and comparisons that say what differed. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* ours, in base/error.h, has another meaning */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perceiver.h"

/* Fails with a formatted message. */
#define test_failed(...)                                                                           \
    do {                                                                                           \
        print_error(__VA_ARGS__);                                                                  \
        _fail(__FILE__, __LINE__);                                                                 \
    } while (0)

/* A call that must succeed; its error is printed when it does not. */
#define must(call)                                                                                 \
    do {                                                                                           \
        pcv_error err = {0};                                                                       \
        int status_ = (call);                                                                      \
        if (status_) test_failed("%s:%d: %s -> %d: %s\n", __FILE__, __LINE__, #call, status_,      \
                                 err.message);                                                     \
    } while (0)

static inline void close_to(double found, double expected, double tolerance, const char *what) {
    if (fabs(found - expected) <= tolerance) return; /* NaN falls through */
    test_failed("%s: found %.9g, expected %.9g, tolerance %.1e\n", what, found, expected, tolerance);
}

#endif
