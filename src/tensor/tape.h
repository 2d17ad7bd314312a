/* The tape: an eager record of coarse operations, and the walk back over it.
 *
 * An op is a C function that checks shapes, makes its output, runs its kernel now and, while the
 * tape records, appends one node. tape_backward visits the nodes in reverse and calls each op's own
 * hand-written derivative, which adds into the gradients of the op's inputs. Memory moves as the
 * walk goes: a gradient appears when its first contribution is written, an activation goes when the
 * last op that read it has been differentiated.
 *
 *     tape t;
 *     TRY(tape_init(&t, be, bytes, err));
 *     tape_begin(&t);
 *     tensor *x = tape_floats(&t, host, rows, cols);
 *     tensor *y = linear(&t, x, w, b);            // ops/ops.h
 *     tape_backward(&t, loss);                    // now w->grad holds dL/dw
 *     TRY(tape_end(&t, "to learn", err));
 *     tape_reset(&t);                             // every tensor of the pass is gone
 *
 * Ownership: parameters and caches belong to whoever made them; every other tensor belongs to the
 * tape that made it.
 *
 * When memory runs out, on the device or on the host, or a kernel fails, the tape remembers it in t->status. From then
 * on nothing is computed: every op and every call below that makes a tensor gives t->nothing, of no rows, and
 * tape_host gives NULL. So a model need not ask between its ops, but it does behind tape_host, whose memory it fills;
 * tape_end tells. */
#ifndef TENSOR_TAPE_H
#define TENSOR_TAPE_H

#include "base/mem.h"
#include "tensor/pool.h"

typedef struct tensor {
    matrix m;            /* the values */
    matrix grad;         /* the gradient; data NULL: none yet */
    bool wants_grad;     /* a parameter lies upstream */
    bool grad_written;   /* the next contribution is added, not stored */
    bool keep;           /* its values stay until the walk has passed where it was made: the op that
                            made it reads them again, or it is a constant that any block may read */
    uint32_t first_use;  /* number of the first node that reads it, 0: none yet */
    storage *data_store, *grad_store; /* NULL: not owned by a tape */
    struct tensor *base, *views, *next_view; /* column views of a tensor */
    struct tensor *older;                    /* the tape's list */
} tensor;

enum { NODE_INPUTS = 12 };

typedef struct tape tape;
typedef struct node node;
typedef void backward_fn(tape *t, const node *n);

struct node {
    backward_fn *backward;
    tensor *out;             /* the output whose gradient the op takes */
    tensor *in[NODE_INPUTS]; /* the inputs it read */
    int inputs;
    uint32_t number; /* from 1, in order of recording */
    void *saved;     /* the op's own record */
    tensor *newest;  /* the tape's newest tensor when the node was recorded */
    node *previous;
};

struct tape {
    backend *be;
    pool pool;
    arena host;     /* tensors, nodes and saved records of this step */
    tensor *newest; /* all tensors of the step, newest first */
    node *last;
    uint32_t nodes;     /* recorded so far */
    uint32_t draws;     /* ops with randomness so far: their streams */
    bool planning;      /* over the null backend: memory counts, what is in it does not */
    bool recording;     /* append nodes */
    bool training;      /* dropout is on */
    bool by_row;        /* rows of products have the bits that they would have alone: of sequences in one batch */
    int status;         /* once memory ran out, or a kernel failed */
    tensor nothing;     /* what there is then */
    uint64_t seed;      /* of dropout */
    uint32_t step;
};

/* bytes: device memory to reserve for tensors (tape_plan), 0: take it as needed. */
int tape_init(tape *t, backend *be, size_t bytes, pcv_error *err);
void tape_free(tape *t);
void tape_reset(tape *t);

/* A pass: its beginning resets the tape and takes the backend (backend_hold), its end gives it back. What tensors
 * hold can be read in between. PCV_MEMORY: not enough memory `purpose`, which also says what to lower, or a kernel
 * failed. */
void tape_begin(tape *t);
int tape_end(tape *t, const char *purpose, pcv_error *err);

/* A tape over the null backend that only counts; t->pool.high is then the memory to reserve. */
int tape_init_plan(tape *t, backend *null_be, pcv_error *err);

/* Memory of the host, zeroed, until the pass ends; NULL when there is none, t->status then says so. */
void *tape_host(tape *t, size_t bytes);
void *tape_host_undefined(tape *t, size_t bytes); /* the same, as arena_take */

/* Runs a kernel unless something failed before, with a filled argument struct or with some of its members. */
#define tape_kernel_args(t, name, args)                                                            \
    do {                                                                                           \
        if ((t)->status) break;                                                                    \
        run_kernel_args((t)->be, name, args);                                                      \
        (t)->status = (t)->be->failure.code;                                                       \
    } while (0)

#define tape_kernel(t, name, ...) tape_kernel_args(t, name, (&(name##_type){__VA_ARGS__}))

/* A new tensor of reals, or of exact numbers (backend.h), its values undefined. */
tensor *tape_tensor(tape *t, int64_t rows, int64_t cols);
tensor *tape_exact(tape *t, int64_t rows, int64_t cols);

tensor *tape_numbers(tape *t, int64_t rows, int64_t cols); /* I32, which no gradient flows to */

/* New tensors with values copied from host memory: reals [rows, cols] and I32 [rows, 1]. */
tensor *tape_floats(tape *t, const float *values, int64_t rows, int64_t cols);
tensor *tape_exact_floats(tape *t, const float *values, int64_t rows, int64_t cols); /* what is no real: targets */
tensor *tape_ints(tape *t, const int32_t *values, int64_t rows);

/* Many arrays of integers in one upload: each slot gets its own tensor, I32 [rows, 1], or NULL where there are no
 * values. */
typedef struct int_array {
    tensor **slot;
    const int32_t *values; /* [rows], or NULL */
    int64_t rows;
} int_array;
void tape_int_arrays(tape *t, const int_array *list, size_t count);

/* The values, copied to host memory, rows packed. */
void tape_read(tape *t, const tensor *x, float *values);

/* Columns [from, from + count) of x, sharing memory with it, gradients too. */
tensor *tape_columns(tape *t, tensor *x, int64_t from, int64_t count);

/* Rows [from, from + count) of x, sharing memory with it; no gradient flows through. */
tensor *tape_rows(tape *t, tensor *x, int64_t from, int64_t count);

/* A tensor over memory that somebody else owns and keeps beyond the step. */
tensor *tape_wrap(tape *t, matrix m);

/* Without recording: x's values are not needed any more. */
void tape_forget(tape *t, tensor *x);

/* Gives a scratch tensor of a backward function back before the walk would. */
void tape_drop(tape *t, tensor *x);

/* Appends a node for `out` when the tape records and an input wants gradients; the op's record of
 * `saved_bytes` bytes, zeroed, is then in node->saved. NULL otherwise. */
node *tape_record(tape *t, backward_fn *backward, tensor *out, tensor *const in[], int inputs,
                  size_t saved_bytes);

/* For backward functions: where to write a contribution to x's gradient, and with which beta (0: the
 * first writer stores, 1: later ones add). data is NULL when x wants no gradient. */
matrix tape_grad(tape *t, tensor *x, float *beta);

/* Adds dy to x's gradient, by sharing dy's memory where x has none yet. */
void tape_pass_grad(tape *t, tensor *x, tensor *y);

/* Walks back from the last node; root's gradient must be there, or root is a loss, whose op needs
 * none. Parameters' gradients are added to when grad_written says so. */
void tape_backward(tape *t, tensor *root);

/* A tensor whose gradient is written by a test or by the caller: uploads dL/dy. */
void tape_seed(tape *t, tensor *y, const float *dy);

/* A block of a model: a function of tensors, called as fn(t, context, in). The context must outlive
 * the step. Beside `in` it may read parameters and constants (tape_ints, tape_floats) alone.
 *
 * tape_block runs it. Without recording, everything but its result is freed at once. With recording
 * and `recompute`, the same, and a node is left that runs the block again when its gradient is
 * needed: memory of one block instead of all, for one more forward pass (Chen et al. 2016,
 * arXiv 1604.06174). */
typedef tensor *block_fn(tape *t, const void *context, tensor *const in[]);
tensor *tape_block(tape *t, block_fn *fn, const void *context, tensor *const in[], int inputs,
                   bool recompute);

#endif
