/* Any bytes as a flow; what was read can be drawn. */
#include "fuzz.h"
#include "media/flow_file.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    flow f;
    picture p = {0};
    pcv_error err;
    if (flow_parse(&f, data, size, "in", &err)) return 0;
    for (int64_t i = 0; i < (int64_t)f.width * f.height * 2; i++)
        if (isinf(f.uv[i])) abort();
    if (!flow_picture(&f, &p, &err)) picture_free(&p);
    flow_free(&f);
    return 0;
}
