/* A fuzz target is a program around one reader of files: whatever bytes it is given, it must neither crash nor take more
 * than its stated memory. `cmake --preset fuzz` builds the targets with libFuzzer; the tests run each over
 * corpus/, which libFuzzer found (fuzz/README.md). */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A folder of this process's own, in memory where there is /dev/shm; removed when the process ends. */
const char *fuzz_folder(void);

/* Puts bytes into fuzz_folder()/name, in place of what was there, and returns the path, which the next call changes. */
const char *fuzz_file(const char *name, const uint8_t *data, size_t size);

/* Takes the next part of the input, of a length that its first two bytes say, or what is left. */
const uint8_t *fuzz_part(const uint8_t **data, size_t *left, size_t *size);

#endif
