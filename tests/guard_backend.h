/* A backend whose tensor memory faults when anything but a kernel touches it: the CPU backend over pages
 * that are only accessible while a kernel, a read or a write runs. */
#ifndef TESTS_GUARD_BACKEND_H
#define TESTS_GUARD_BACKEND_H

#include "tensor/backend.h"

int guard_backend_open(backend **be, pcv_error *err);

#endif
