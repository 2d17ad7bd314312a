/* A backend whose tensor memory faults when anything but a kernel touches it: the CPU backend over pages
 * that are only accessible while a kernel, a read or a write runs. And whose reads and writes are as late as
 * they may be: what is read arrives when the backend is waited for, and what is written must be there still. */
#ifndef TESTS_GUARD_BACKEND_H
#define TESTS_GUARD_BACKEND_H

#include "tensor/backend.h"

int guard_backend_open(backend **be, pcv_error *err);

#endif
