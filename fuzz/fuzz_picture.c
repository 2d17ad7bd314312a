/* Any bytes as a PNG or JPEG: read, cut square, and scaled. */
#include "fuzz.h"
#include "media/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t white[3] = {255, 255, 255};
    picture p;
    pcv_error err;
    if (picture_parse(&p, data, size, "in", white, &err)) return 0;
    (void)picture_square(&p, 32, &err);
    picture_free(&p);
    return 0;
}
