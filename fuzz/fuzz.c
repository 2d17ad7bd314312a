#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[PATH_SIZE];

static void remove_folder(void) { path_remove(folder, NULL); }

const char *fuzz_folder(void) {
    if (*folder) return folder;
    snprintf(folder, sizeof folder, "%s/perceiver-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(folder)) abort();
    atexit(remove_folder);
    return folder;
}

const char *fuzz_file(const char *name, const uint8_t *data, size_t size) {
    static char path[PATH_SIZE];
    if (path_join(path, fuzz_folder(), name, NULL)) abort();
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f)) abort();
    return path;
}

const uint8_t *fuzz_part(const uint8_t **data, size_t *left, size_t *size) {
    size_t head = *left < 2 ? *left : 2;
    *size = head < 2 ? 0 : (size_t)((*data)[0] | (*data)[1] << 8);
    *data += head;
    *left -= head;
    if (*size > *left) *size = *left;
    const uint8_t *part = *data;
    *data += *size;
    *left -= *size;
    return part;
}
