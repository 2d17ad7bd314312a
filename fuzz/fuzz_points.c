/* Any bytes as a point cloud; what was read can be scaled. */
#include "fuzz.h"
#include "media/points_file.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    points p;
    pcv_error err;
    if (points_parse(&p, (const char *)data, size, "in", &err)) return 0;
    if (!p.count) abort();
    points_normalize(&p);
    for (size_t i = 0; i < 3 * p.count; i++)
        if (!(fabsf(p.xyz[i]) <= 1.001f)) abort();
    points_free(&p);
    return 0;
}
