/* How much memory this process may still take: what is free in the system, in its control group, and under
 * its own limit. Asked before work starts, because libraries below us do not survive an allocation that
 * fails. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

/* Addresses that the process reserves and hardly uses; they count under a limit of addresses alone: the
 * host arena of a tape (1 GiB), and the stacks and heaps of threads. */
enum { MEMORY_RESERVED = (1 << 30) + (1 << 28) };

size_t memory_available(void);

#endif
