/* The backends of this build, by name: the one place where a backend is opened.
 *
 * The table stands behind the folders that it names (scripts/style.sh): what computes needs tensor/backend.h
 * alone, and what chooses where to compute comes here. A further backend is a folder and a line of the table
 * (docs/add_a_backend.md).
 *
 *     backend *be;
 *     TRY(backend_open(&be, NULL, &(backend_options){.threads = 4}, err));
 *     ...
 *     be->close(be); */
#ifndef BACKENDS_REGISTRY_H
#define BACKENDS_REGISTRY_H

#include "tensor/backend.h"

/* name NULL: the first of the table; options NULL: the defaults. PCV_CONFIG for an unknown name lists those that
 * there are. */
int backend_open(backend **be, const char *name, const backend_options *options, pcv_error *err);

/* How a backend is opened for a precision_name (config/run_config.h) and so many threads, 0: as many as are good. */
backend_options backend_options_for(int precision, int64_t threads);

/* Levels of a backend's kernels that this machine can run, best first, NULL-terminated. */
int backend_levels(const char *const **levels, const char *name, pcv_error *err);

#endif
