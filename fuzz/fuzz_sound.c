/* Any bytes as a sound file: read, mixed down, resampled. */
#include "fuzz.h"
#include "media/sound_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sound s;
    pcv_error err;
    if (!sound_read(&s, fuzz_file("sound", data, size), 8000, &err)) sound_free(&s);
    return 0;
}
