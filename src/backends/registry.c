#include "backends/registry.h"
#include "backends/cuda.h"
#include "base/available.h"
#include "base/number.h"
#include "base/text.h"
#include "config/run_config.h"
#include "cpu/cpu.h"

#include <stdio.h>
#include <string.h>

static const backend_type *const types[] = {&cpu_backend, &cuda_backend};
enum { TYPES = sizeof types / sizeof *types, NAME = 16 };

/* "cuda:1" is device 1 of its type. "auto", where none is named, is a device if there is one, else the host. */
static int find(const char *name, const backend_type **type, int *device, pcv_error *err) {
    const char *names[TYPES + 2] = {[TYPES] = "auto"};
    char plain[NAME] = "auto";
    int i = 0;
    int64_t number = 0;
    const char *colon = name ? strchr(name, ':') : NULL;
    for (int k = 0; k < TYPES; k++) names[k] = types[k]->name;
    if (name) snprintf(plain, sizeof plain, "%.*s", colon ? (int)(colon - name) : NAME, name);
    int status = name_find(&i, plain, names, "--device", err);
    if (!status && colon && (i == TYPES || types[i] != &cuda_backend))
        status = fail(err, PCV_CONFIG, "--device %s: only devices of cuda are numbered, as in cuda:1", name);
    else if (!status && colon) status = number_read_whole("--device cuda:", colon + 1, 0, 1023, &number, err);
    if (status) return status;
    *device = (int)number;
    *type = i < TYPES ? types[i] : cuda_there() ? &cuda_backend : &cpu_backend;
    return 0;
}

backend_options backend_options_for(int precision, int64_t threads) {
    return (backend_options){.threads = threads_available(threads),
                             .precision = precision == PRECISION_BF16 ? BF16 : F32,
                             .tf32 = precision == PRECISION_TF32};
}

int backend_open(backend **be, const char *name, const backend_options *options, pcv_error *err) {
    const backend_type *type;
    backend_options all = options ? *options : (backend_options){0};
    int status = find(name, &type, &all.device, err);
    return status ? status : type->open(be, &all, err);
}

int backend_levels(const char *const **levels, const char *name, pcv_error *err) {
    const backend_type *type;
    int device, status = find(name, &type, &device, err);
    if (!status) *levels = type->levels();
    return status;
}
