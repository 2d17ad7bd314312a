/* Runs a fuzz target over files that are there: replay_TARGET FILE-OR-FOLDER... */
#include "fuzz.h"

#include <stdio.h>

int main(int count, char **arguments) {
    size_t ran = 0;
    for (int i = 1; i < count; i++) {
        file_list files = {0};
        pcv_error err;
        int status = file_list_add(&files, arguments[i], &err);
        for (size_t k = 0; !status && k < files.count; k++) {
            file_bytes bytes;
            status = file_read(files.paths[k], 1 << 24, &bytes, &err);
            if (status) break;
            LLVMFuzzerTestOneInput((const uint8_t *)bytes.data, bytes.size);
            file_bytes_free(&bytes);
            ran++;
        }
        file_list_free(&files);
        if (status) return fprintf(stderr, "%s\n", err.message), 1;
    }
    printf("%zu inputs\n", ran);
    return ran == 0;
}
