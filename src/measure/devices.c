/* Lines for `info --devices`: every backend with what it found, or why it found nothing. */
#include "measure/devices.h"
#include "backends/cuda.h"
#include "backends/registry.h"
#include "base/available.h"
#include "base/text.h"

static void add_line(void *context, const char *line) { text_add(context, "%s\n", line); }

int devices_describe(char **description, pcv_error *err) {
    text out = {0};
    const char *const *levels;
    int status = backend_levels(&levels, "cpu", err), cores = cores_available();
    if (status) return status;
    text_add(&out, "cpu     %d core%s, kernels %s, %.1f GiB of memory available\n", cores, plural(cores), levels[0],
             (double)memory_available() / (1 << 30));
    bool found = cuda_describe(add_line, &out);
    text_add(&out, "--device auto is %s", found ? "cuda:0" : "cpu");
    if (!text_ok(&out)) {
        text_free(&out);
        return fail(err, PCV_MEMORY, "not enough memory to describe the devices");
    }
    *description = out.data;
    return 0;
}
