#include "backends/registry.h"
#include "base/text.h"
#include "cpu/cpu.h"

static const backend_type *const types[] = {&cpu_backend}; /* the first is what computes where none is named */
enum { TYPES = sizeof types / sizeof *types };

static int find(const char *name, const backend_type **type, pcv_error *err) {
    const char *names[TYPES + 1] = {NULL};
    int i = 0;
    for (int k = 0; k < TYPES; k++) names[k] = types[k]->name;
    int status = name ? name_find(&i, name, names, "--device", err) : 0;
    *type = types[i];
    return status;
}

int backend_open(backend **be, const char *name, const backend_options *options, pcv_error *err) {
    const backend_type *type;
    int status = find(name, &type, err);
    return status ? status : type->open(be, options ? options : &(backend_options){0}, err);
}

int backend_levels(const char *const **levels, const char *name, pcv_error *err) {
    const backend_type *type;
    int status = find(name, &type, err);
    *levels = type->levels();
    return status;
}
