/* A backend: device memory and a table of kernels over it.
 *
 * Memory that a backend hands out is opaque: kernels dereference it, everyone else goes through
 * `write` and `read`. Kernels, writes and reads run in the order in which they were asked for, but perhaps later:
 * backend_finish waits until all are done. backends/registry.h opens a backend by its name. Two more are made of an
 * open one: null, whose memory is only counted and whose kernels do nothing, for planning; and, in the tests, a guard
 * that makes tensor memory fault outside kernels.
 *
 *     run_kernel(be, norm_fwd, .x = x->m, .y = y->m, ...); */
#ifndef TENSOR_BACKEND_H
#define TENSOR_BACKEND_H

#include "base/error.h"
#include "tensor/kernels.h"

#include <pthread.h>

typedef struct backend backend;

/* How a backend is opened; zeros are the defaults. */
typedef struct backend_options {
    const char *level; /* of its kernels, one of the type's; NULL: the best */
    int64_t threads;   /* of the host; 0: as many as are good */
    int device;        /* which, where there are several of the kind */
    dtype precision;   /* F32; BF16: what is rounded to it is the backend's to choose, sums stay F32; F64: the reference
                          kernels in double, the oracle of the gradient tests */
    bool tf32;         /* with F32: products may round their operands to 10 bits of mantissa where that is faster */
} backend_options;

/* A kind of backend: a row of the registry. */
typedef struct backend_type {
    const char *name;
    int (*open)(backend **be, const backend_options *options, pcv_error *err);
    const char *const *(*levels)(void); /* of kernels that this machine can run, best first, NULL-terminated */
} backend_type;

/* Passes of one kind come again and again: a backend may learn from some how to run the next. */
typedef enum backend_pass { PASS_UPDATE, PASS_SCORING, PASS_WINDOW, PASS_TOKEN, PASSES } backend_pass;

struct backend {
    const char *name, *level; /* level: of its kernels */
    dtype real;  /* the type of activations and their gradients, and of the weights that products read */
    dtype exact; /* the type of statistics, losses, gradients of weights, moments and masters: F32, or F64 as `real` */
    kernels k;
    void *context; /* passed to kernels */
    int threads;   /* of the host that may work for it */

    /* Device memory, 64-byte aligned, its contents undefined; NULL when there is none. */
    void *(*alloc)(backend *be, size_t bytes);
    void (*free)(backend *be, void *memory, size_t bytes);
    size_t (*available)(backend *be); /* how much there is still, about */
    bool on_host;                     /* it is the host's, which takes of it too */

    /* Both may return before they are done: what is written must stay, and what is read is not there, until finish
     * has returned. Where it is not set, there is nothing to wait for. */
    void (*write)(backend *be, void *to, const void *from, size_t bytes);
    void (*read)(backend *be, void *to, const void *from, size_t bytes);
    void (*finish)(backend *be);
    void (*close)(backend *be);

    /* How the work of some kernels is cut, by shapes alone: the ops that run them make scratch for it. */
    int64_t (*norm_parts)(const backend *be, int64_t rows); /* sums over the rows in norm_bwd */
    int64_t (*attend_chunks)(const backend *be, int64_t batch, int64_t heads, int64_t width, int64_t keys); /* of the
                                                             keys in attend_bwd, by heads of `width` columns */
    int64_t logits; /* that cross_entropy computes at once */

    /* Around every kernel when set: the guard backend opens and closes memory here. */
    void (*enter)(backend *be);
    void (*leave)(backend *be);

    /* Around passes, where set. work: of this pass, in any unit. */
    void (*pass_begin)(backend *be, backend_pass kind);
    void (*pass_end)(backend *be, backend_pass kind, double work);

    size_t bytes_now, bytes_peak; /* memory handed out */
    double *seconds;              /* per kernel, [KERNEL_COUNT], when profiling; else NULL */
    pthread_mutex_t one_pass;     /* recursive; see backend_hold */
    pcv_error failure;            /* of the first kernel that failed since backend_failed was asked, see there */
};

/* A backend does one thing at a time: its kernels share scratch memory and threads, its memory is counted. A pass
 * (tape_begin to tape_end) holds it, and so does whoever runs kernels outside of one; backend_alloc and backend_free
 * hold it themselves. So any number of threads may use what stands over one backend, as long as each uses its own. */
void backend_hold(backend *be);
void backend_release(backend *be);

/* Kernels return nothing: one that fails, for want of scratch memory or in a library, leaves its outputs undefined and
 * its status in be->failure, with a message unless it is a lack of memory. Whoever runs kernels asks once behind
 * them, as tape_end does: PCV_MEMORY, not enough memory `purpose`, or what the message says. */
int backend_failed(backend *be, const char *purpose, pcv_error *err);

/* For those who open and close a backend. */
void backend_init_lock(backend *be);
void backend_free_lock(backend *be);

/* Calls slot `name`, with a filled argument struct or with some of its members. */
#define run_kernel_args(be, name, args)                                                            \
    do {                                                                                           \
        double start_ = backend_enter(be);                                                         \
        (be)->k.name((be)->context, args);                                                         \
        backend_leave(be, KERNEL_##name, start_);                                                  \
    } while (0)

#define run_kernel(be, name, ...) run_kernel_args(be, name, (&(name##_type){__VA_ARGS__}))

#define KERNEL_TYPE(name, type) typedef type name##_type;
KERNELS(KERNEL_TYPE)
#undef KERNEL_TYPE

double backend_enter(backend *be);
void backend_leave(backend *be, int kernel, double start);

/* Waits until everything that was asked for is done. */
void backend_finish(backend *be);

/* Seconds since a fixed point (base/clock.h), when everything that was asked for is done. */
double backend_now(backend *be);

void backend_pass_begin(backend *be, backend_pass kind);
void backend_pass_end(backend *be, backend_pass kind, double work);

/* alloc and free with the counters kept; PCV_MEMORY names the purpose and the size. */
int backend_alloc(backend *be, void *slot, size_t bytes, const char *purpose, pcv_error *err);
void backend_free(backend *be, void *memory, size_t bytes);

/* Between packed floats in host memory and reals of the device; done when they return. */
void backend_write_floats(backend *be, const matrix *to, const float *from);
void backend_read_floats(backend *be, float *to, const matrix *from);

/* Makes the null backend of an open one that has handed out nothing yet: from now on memory is only counted and
 * nothing is computed, but what ops and plans ask is answered as before, so that a plan is that of the backend
 * which will run. */
void backend_make_null(backend *be);

#endif
