/* What this machine can compute on. */
#ifndef MEASURE_DEVICES_H
#define MEASURE_DEVICES_H

#include "perceiver.h"

/* As pcv_devices; the description is freed with mem_free. */
int devices_describe(char **description, pcv_error *err);

#endif
