/* The CPU backend: kernels at several levels over one threading rule.
 *
 * The table is filled by the reference (plain loops, reference.c), then by the SIMD kernels of a
 * level (levels.h), then products by a library (gemm.h). The best level that the processor has is chosen at run
 * time; the environment variable PERCEIVER_KERNELS or the caller can name a lower one.
 *
 * Kernels are parallel over rows or heads, by OpenMP, one level deep. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "tensor/backend.h"

extern const backend_type cpu_backend;

#endif
