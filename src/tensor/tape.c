/* The tape is two lists: nodes, and tensors, newest first. Age decides what may go: what is newer than the node
 * before was made for this node, by its derivative, or later, and nothing in front of it reads that: it is freed
 * when the walk has passed the node. Headers stay in the arena until the tape is reset, so that saved records may
 * point to tensors whose memory is gone.
 *
 * Views of columns share values and gradient with their base; views of rows share values alone. A gradient that is
 * shared (tape_pass_grad) becomes its owner's own before anything is added to it. Running out of memory sets
 * t->status, and from then on nothing is computed. */
#include "tensor/tape.h"

#include <string.h>

enum { HOST_BLOCK = 1 << 20 }; /* the arena's first; large batches take more */

int tape_init(tape *t, backend *be, size_t bytes, pcv_error *err) {
    *t = (tape){.be = be};
    int status = arena_init(&t->host, HOST_BLOCK, err);
    if (!status) status = pool_init(&t->pool, be, bytes, err);
    if (status) tape_free(t);
    return status;
}

int tape_init_plan(tape *t, backend *null_be, pcv_error *err) {
    *t = (tape){.be = null_be, .planning = true};
    int status = arena_init(&t->host, HOST_BLOCK, err);
    if (!status) status = pool_init_unlimited(&t->pool, null_be, err);
    if (status) tape_free(t);
    return status;
}

/* ------------------------------------------------------------------ tensors */

static void drop_values(tape *t, tensor *x) {
    pool_drop(&t->pool, x->data_store);
    x->data_store = NULL;
}

static void drop_grad(tape *t, tensor *x) {
    if (!x->grad_store) return;
    pool_drop(&t->pool, x->grad_store);
    x->grad_store = NULL;
    x->grad.data = NULL;
}

/* Frees the memory of every tensor newer than `mark`, except `keep`. The headers stay until the
 * step ends: saved records may point to them. */
static void drop_newer(tape *t, const tensor *mark, const tensor *keep) {
    for (tensor *x = t->newest; x != mark; x = x->older) {
        if (x == keep) continue;
        drop_values(t, x);
        drop_grad(t, x);
    }
}

static void drop_all(tape *t) {
    backend_finish(t->be);
    drop_newer(t, NULL, NULL);
}

void tape_reset(tape *t) {
    drop_all(t);
    t->newest = NULL;
    t->last = NULL;
    t->nodes = t->draws = 0;
    t->status = 0;
    t->nothing = (tensor){0};
    arena_rewind(&t->host, 0);
    pool_tidy(&t->pool);
}

void tape_free(tape *t) {
    if (t->host.block) drop_all(t);
    pool_free(&t->pool);
    arena_free(&t->host);
    *t = (tape){0};
}

void tape_begin(tape *t) {
    backend_hold(t->be);
    t->be->failure.code = 0;
    tape_reset(t);
}

int tape_end(tape *t, const char *purpose, pcv_error *err) {
    int status = backend_failed(t->be, purpose, err);
    if (!status && t->status) status = fail(err, t->status, "not enough memory %s", purpose);
    backend_release(t->be);
    return status;
}

static void *host_memory(tape *t, void *memory) {
    if (!memory && !t->status) t->status = PCV_MEMORY;
    return memory;
}

void *tape_host(tape *t, size_t bytes) { return host_memory(t, t->status ? NULL : arena_get(&t->host, bytes)); }

void *tape_host_undefined(tape *t, size_t bytes) {
    return host_memory(t, t->status ? NULL : arena_take(&t->host, bytes));
}

static tensor *new_header(tape *t, matrix m) {
    tensor *x = tape_host(t, sizeof *x);
    if (!x) return &t->nothing;
    x->m = m;
    x->older = t->newest;
    t->newest = x;
    return x;
}

static storage *new_storage(tape *t, size_t bytes) {
    storage *s = t->status ? NULL : pool_get(&t->pool, bytes);
    if (!s && !t->status) t->status = PCV_MEMORY;
    return s;
}

static tensor *new_tensor(tape *t, int64_t rows, int64_t cols, dtype type) {
    CHECK(rows >= 0 && cols >= 0, "a tensor of %lld x %lld", (long long)rows, (long long)cols);
    matrix m = {.rows = rows, .cols = cols, .stride = cols, .type = type};
    tensor *x = new_header(t, m);
    if (t->status) return x;
    x->data_store = new_storage(t, matrix_bytes(&m));
    x->m.data = x->data_store ? x->data_store->data : NULL;
    return x;
}

tensor *tape_tensor(tape *t, int64_t rows, int64_t cols) {
    return new_tensor(t, rows, cols, t->be->real);
}

tensor *tape_exact(tape *t, int64_t rows, int64_t cols) {
    return new_tensor(t, rows, cols, t->be->exact);
}

tensor *tape_numbers(tape *t, int64_t rows, int64_t cols) { return new_tensor(t, rows, cols, I32); }

static tensor *constant_of(tape *t, tensor *x, const float *values) {
    if (t->status) return x;
    backend_write_floats(t->be, &x->m, values);
    x->keep = true;
    return x;
}

tensor *tape_floats(tape *t, const float *values, int64_t rows, int64_t cols) {
    return constant_of(t, tape_tensor(t, rows, cols), values);
}

tensor *tape_exact_floats(tape *t, const float *values, int64_t rows, int64_t cols) {
    return constant_of(t, tape_exact(t, rows, cols), values);
}

/* Each array begins at a multiple of 64 bytes. The copy stays until the tape is reset, which waits for the write. */
static int64_t aligned_rows(int64_t rows) { return (rows + 15) / 16 * 16; }

void tape_int_arrays(tape *t, const int_array *list, size_t count) {
    int64_t total = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        if (list[i].values) total += aligned_rows(list[i].rows);
    int32_t *all = tape_host_undefined(t, (size_t)total * sizeof *all);
    tensor *whole = new_tensor(t, total, 1, I32);
    for (size_t i = 0; i < count; i++) {
        *list[i].slot = list[i].values ? tape_rows(t, whole, at, list[i].rows) : NULL;
        if (!list[i].values || t->status) continue;
        if (!t->planning) memcpy(all + at, list[i].values, (size_t)list[i].rows * sizeof *all);
        (*list[i].slot)->keep = true;
        at += aligned_rows(list[i].rows);
    }
    whole->keep = true;
    if (!t->status) t->be->write(t->be, whole->m.data, all, matrix_bytes(&whole->m));
}

tensor *tape_ints(tape *t, const int32_t *values, int64_t rows) {
    tensor *x;
    if (t->status) return &t->nothing;
    tape_int_arrays(t, &(int_array){&x, values, rows}, 1);
    return x;
}

void tape_read(tape *t, const tensor *x, float *values) {
    memset(values, 0, (size_t)(x->m.rows * x->m.cols) * sizeof *values);
    if (!t->status) backend_read_floats(t->be, values, &x->m);
}

tensor *tape_columns(tape *t, tensor *x, int64_t from, int64_t count) {
    if (t->status) return &t->nothing;
    CHECK(from >= 0 && count >= 0 && from + count <= x->m.cols && !x->base,
          "columns %lld to %lld of %lld", (long long)from, (long long)(from + count),
          (long long)x->m.cols);
    tensor *view = new_header(t, matrix_columns(x->m, from, count));
    if (t->status) return view;
    view->wants_grad = x->wants_grad;
    view->data_store = x->data_store;
    if (view->data_store) pool_hold(view->data_store);
    view->base = x;
    view->next_view = x->views;
    x->views = view;
    return view;
}

tensor *tape_rows(tape *t, tensor *x, int64_t from, int64_t count) {
    if (t->status) return &t->nothing;
    CHECK(from >= 0 && count >= 0 && from + count <= x->m.rows, "rows %lld to %lld of %lld",
          (long long)from, (long long)(from + count), (long long)x->m.rows);
    tensor *view = new_header(t, matrix_rows(x->m, from, count));
    if (t->status) return view;
    view->data_store = x->data_store;
    if (view->data_store) pool_hold(view->data_store);
    return view;
}

tensor *tape_wrap(tape *t, matrix m) { return new_header(t, m); }

void tape_forget(tape *t, tensor *x) {
    if (!t->recording) drop_values(t, x);
}

void tape_drop(tape *t, tensor *x) {
    drop_values(t, x);
    drop_grad(t, x);
}

/* ------------------------------------------------------------------ recording */

static node *append_node(tape *t, backward_fn *backward, tensor *out, tensor *const in[], int inputs,
                         size_t saved_bytes) {
    CHECK(inputs <= NODE_INPUTS, "%d inputs", inputs);
    node *n = tape_host(t, sizeof *n);
    void *saved = saved_bytes ? tape_host(t, saved_bytes) : NULL;
    if (t->status) return NULL;
    *n = (node){.backward = backward, .out = out, .inputs = inputs, .saved = saved, .number = ++t->nodes};
    for (int i = 0; i < inputs; i++) {
        n->in[i] = in[i];
        if (in[i] && !in[i]->first_use) in[i]->first_use = n->number;
    }
    n->newest = t->newest;
    n->previous = t->last;
    t->last = n;
    out->wants_grad = true;
    return n;
}

node *tape_record(tape *t, backward_fn *backward, tensor *out, tensor *const in[], int inputs,
                  size_t saved_bytes) {
    bool wanted = false;
    for (int i = 0; i < inputs; i++) wanted |= in[i] && in[i]->wants_grad;
    return t->recording && wanted ? append_node(t, backward, out, in, inputs, saved_bytes) : NULL;
}

/* ------------------------------------------------------------------ gradients */

static void new_grad(tape *t, tensor *x) {
    x->grad = x->m;
    x->grad_store = new_storage(t, matrix_bytes(&x->grad));
    x->grad.data = x->grad_store ? x->grad_store->data : NULL;
}

/* x's gradient gets memory of its own before it is added to. */
static void unshare_grad(tape *t, tensor *x) {
    storage *shared = x->grad_store;
    matrix old = x->grad;
    new_grad(t, x);
    x->grad.stride = x->grad.cols;
    tape_kernel(t, copy, .y = x->grad, .x = old);
    pool_drop(&t->pool, shared);
}

matrix tape_grad(tape *t, tensor *x, float *beta) {
    if (!x || !x->wants_grad) return (matrix){0};
    *beta = x->grad_written ? 1 : 0;
    if (x->base && !x->grad.data) {
        tensor *base = x->base;
        if (!base->grad.data) new_grad(t, base);
        int64_t from = ((char *)x->m.data - (char *)base->m.data) / (ptrdiff_t)dtype_bytes(x->m.type);
        x->grad = matrix_columns(base->grad, from, x->m.cols);
    } else if (!x->grad.data) {
        new_grad(t, x);
    } else if (x->grad_store && x->grad_store->references > 1) {
        unshare_grad(t, x);
    }
    x->grad_written = true;
    return x->grad;
}

void tape_pass_grad(tape *t, tensor *x, tensor *y) {
    if (!x || !x->wants_grad) return;
    bool free_to_share = !x->grad_written && !x->base && !x->views && x->grad.data == NULL;
    if (free_to_share && y->grad_store && !y->views) {
        pool_hold(y->grad_store);
        x->grad_store = y->grad_store;
        x->grad = y->grad;
        x->grad_written = true;
        return;
    }
    float beta;
    matrix dx = tape_grad(t, x, &beta);
    tape_kernel(t, copy, .y = dx, .x = y->grad, .beta = beta);
}

void tape_seed(tape *t, tensor *y, const float *dy) {
    float beta;
    if (t->status) return;
    y->wants_grad = true;
    matrix g = tape_grad(t, y, &beta);
    if (!t->status) backend_write_floats(t->be, &g, dy);
}

/* ------------------------------------------------------------------ walking back */

/* True when some gradient has arrived at the output of n; views that got none are cleared. */
static bool output_ready(tape *t, const node *n) {
    tensor *out = n->out;
    bool any = out->grad_written;
    for (tensor *v = out->views; v; v = v->next_view) any |= v->grad_written;
    if (!any) return false;
    for (tensor *v = out->views; v; v = v->next_view) {
        float beta;
        if (v->grad_written) continue;
        matrix g = tape_grad(t, v, &beta);
        tape_kernel(t, fill, .y = g);
    }
    return true;
}

/* No op reads x any more on the way back. A tensor that is only read through views goes with the
 * last of them. */
static void drop_input(tape *t, tensor *x) {
    if (x->keep) return;
    drop_values(t, x);
    if (!x->base || x->base->keep || x->base->first_use) return;
    for (tensor *v = x->base->views; v; v = v->next_view)
        if (v->data_store) return;
    drop_values(t, x->base);
}

/* After n was differentiated: its output, scratch and gradients are dead, and so are the values of
 * inputs that no earlier op reads. */
static void release_node(tape *t, const node *n) {
    drop_newer(t, n->previous ? n->previous->newest : NULL, NULL);
    t->newest = n->previous ? n->previous->newest : NULL;
    for (int i = 0; i < n->inputs; i++)
        if (n->in[i] && n->in[i]->first_use == n->number) drop_input(t, n->in[i]);
}

static void walk_back(tape *t, const node *stop) {
    while (t->last != stop && !t->status) {
        node *n = t->last;
        if (output_ready(t, n)) n->backward(t, n);
        t->last = n;
        release_node(t, n);
        t->last = n->previous;
    }
}

void tape_backward(tape *t, tensor *root) {
    if (t->status) return;
    root->grad_written = true;
    bool recording = t->recording;
    t->recording = false;
    walk_back(t, NULL);
    t->recording = recording;
}

/* ------------------------------------------------------------------ blocks */

typedef struct block_saved {
    block_fn *fn;
    const void *context;
    uint32_t draws; /* so that dropout draws the same numbers again */
} block_saved;

static void block_backward(tape *t, const node *n) {
    const block_saved *s = n->saved;
    node *mark = t->last;
    uint32_t draws = t->draws;
    t->draws = s->draws;
    t->recording = true;
    tensor *out = s->fn(t, s->context, n->in);
    t->recording = false;
    t->draws = draws;
    if (t->status) return;
    tape_pass_grad(t, out, n->out);
    walk_back(t, mark);
}

tensor *tape_block(tape *t, block_fn *fn, const void *context, tensor *const in[], int inputs,
                   bool recompute) {
    if (t->status) return &t->nothing;
    if (t->recording && !recompute) return fn(t, context, in);
    bool recording = t->recording;
    tensor *mark = t->newest;
    block_saved saved = {fn, context, t->draws};
    t->recording = false;
    tensor *out = fn(t, context, in);
    t->recording = recording;
    if (t->status) return &t->nothing;
    drop_newer(t, mark, out);
    /* parameters that it reads may want gradients, whether `in` does or not */
    node *n = recording ? append_node(t, block_backward, out, in, inputs, sizeof saved) : NULL;
    if (n) memcpy(n->saved, &saved, sizeof saved);
    return out;
}
