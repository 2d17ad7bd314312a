/* How much memory this process may still take: what is free in the system, in its control group, and under
 * its own limit. Asked before work starts, so that it does not end in its middle. And how many cores. */
#ifndef BASE_AVAILABLE_H
#define BASE_AVAILABLE_H

#include <stddef.h>
#include <stdint.h>

/* Addresses that the process reserves and hardly uses: its threads' stacks and heaps. They count under a limit of
 * addresses alone. */
enum { THREADS_BYTES = 1 << 28 };

size_t memory_available(void);

/* Cores that this process may use: those it is bound to, or fewer where its control group has less time. */
int cores_available(void);

/* Threads that `asked` come to: at most the cores; 0: one for each, or OMP_NUM_THREADS. */
enum { MOST_THREADS = 256 };
int threads_available(int64_t asked);

/* Threads for a parallel loop that stands outside of kernels: all of them, or within another such loop one. */
int threads_here(void);

/* The most that this process has held so far (resident set size), in bytes. */
size_t memory_peak(void);

#endif
