/* Loads the plug-in when a device is asked for, and lends it what is the library's own: memory that is counted, and the
 * lock. */
#include "backends/cuda.h"
#include "base/available.h"
#include "base/mem.h"
#include "base/plugin.h"
#include "cuda/plugin.h"

#include <stdio.h>
#include <string.h>

static int load(const cuda_table **table, pcv_error *err) {
    const void *found;
    int status = plugin_open("cuda", CUDA_PLUGIN_VERSION, "build where nvcc is (docs/cuda.md), or use --device cpu",
                             &found, err);
    if (status) return status;
    *table = found;
    if ((*table)->backend_bytes == sizeof(backend)) return 0;
    return fail(err, PCV_CONFIG, "the CUDA plug-in belongs to another build of the library; build it again");
}

static void cuda_close(backend *be) {
    const cuda_table *table;
    if (!load(&table, NULL)) table->close(be); /* it is loaded already */
    backend_free_lock(be);
    mem_free(be);
}

static int cuda_open(backend **out, const backend_options *options, pcv_error *err) {
    const cuda_table *table;
    backend *be = NULL;
    int status = load(&table, err);
    if (!status) status = mem_get(&be, sizeof *be, "the CUDA backend", err);
    if (status) return status;
    backend_init_lock(be);
    status = table->open(be, options, err);
    if (status) {
        backend_free_lock(be);
        mem_free(be);
        return status;
    }
    be->close = cuda_close;
    be->threads = threads_available(options->threads);
    *out = be;
    return 0;
}

static const char *const *cuda_levels(void) {
    static const char *const none[] = {NULL};
    const cuda_table *table;
    return load(&table, NULL) ? none : table->levels();
}

bool cuda_there(void) {
    const cuda_table *table;
    int count = 0;
    return !load(&table, NULL) && !table->devices(NULL, &count, NULL);
}

bool cuda_describe(void (*line)(void *context, const char *text), void *context) {
    const double gib = 1 << 30;
    const cuda_table *table;
    cuda_device list[CUDA_DEVICES];
    pcv_error err = {0};
    char text[sizeof err.message + 64];
    int count = 0;
    int status = load(&table, &err);
    if (!status) status = table->devices(list, &count, &err);
    if (status) {
        snprintf(text, sizeof text, "cuda    %s", err.message);
        line(context, text);
        return false;
    }
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof text, "cuda:%d  %.127s, %.1f GiB of %.1f free, %d multiprocessors, capability %d.%d", i,
                 list[i].name, (double)list[i].available / gib, (double)list[i].memory / gib, list[i].multiprocessors,
                 list[i].major, list[i].minor);
        line(context, text);
    }
    return true;
}

const backend_type cuda_backend = {"cuda", cuda_open, cuda_levels};
