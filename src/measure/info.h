/* What a run, a data set or a safetensors file holds. */
#ifndef MEASURE_INFO_H
#define MEASURE_INFO_H

#include "base/error.h"

/* As pcv_info; the description is freed with mem_free. */
int info_describe(const char *path, pcv_info_form form, char **description, pcv_error *err);

#endif
