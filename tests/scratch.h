/* A folder of a test's own under /tmp, and calls that must be refused. A group uses it so:
 *     cmocka_run_group_tests(tests, make_folder, remove_folder) */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include "check.h"
#include "base/file.h"

#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A call that must be refused with this code and a message that holds this part. */
#define refused(call, expected, part)                                                              \
    do {                                                                                           \
        pcv_error err = {0};                                                                       \
        int status_ = (call);                                                                      \
        if (status_ != (expected) || err.code != (expected) || !strstr(err.message, part))         \
            test_failed("%s:%d: %s -> %d, expected %d and '%s': %s\n", __FILE__, __LINE__, #call,  \
                        status_, (int)(expected), part, err.message);                              \
    } while (0)

static char folder[] = "/tmp/perceiver-test-XXXXXX";

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return path_remove(folder, NULL);
}

/* "folder/name", valid until the sixteenth call from here. */
static inline const char *at(const char *name) {
    static _Thread_local char slots[16][PATH_SIZE];
    static _Thread_local int next;
    char *out = slots[next++ % 16];
    snprintf(out, PATH_SIZE, "%s/%s", folder, name);
    return out;
}

/* Names and values in turn, NULL-terminated. */
static inline void set_all(pcv_settings *s, const char *const *pairs) {
    for (; *pairs; pairs += 2) must(pcv_settings_set(s, pairs[0], pairs[1], &err));
}

static inline void put(const char *name, const void *data, size_t size) {
    FILE *f = fopen(at(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

#endif
