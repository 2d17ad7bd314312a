/* What is alike for all backends: counted memory, the lock that a pass holds, floats in and out, and the null
 * backend. That one is an open backend with its kernels and its memory replaced: how work is cut it still answers
 * as before, so that a plan asks for the scratch that the real one will. What it hands out is an address, for NULL
 * is "none". */
#include "tensor/backend.h"
#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

const char *const kernel_names[KERNEL_COUNT] = {
#define KERNEL_NAME(name, type) #name,
    KERNELS(KERNEL_NAME)
#undef KERNEL_NAME
};

void backend_finish(backend *be) {
    if (be->finish) be->finish(be);
}

double backend_now(backend *be) {
    backend_finish(be);
    return clock_now();
}

double backend_enter(backend *be) {
    if (be->enter) be->enter(be);
    return be->seconds ? backend_now(be) : 0;
}

void backend_leave(backend *be, int kernel, double start) {
    if (be->seconds) be->seconds[kernel] += backend_now(be) - start;
    if (be->leave) be->leave(be);
}

void backend_pass_begin(backend *be, backend_pass kind) {
    if (be->pass_begin) be->pass_begin(be, kind);
}

void backend_pass_end(backend *be, backend_pass kind, double work) {
    if (be->pass_end) be->pass_end(be, kind, work);
}

void backend_init_lock(backend *be) {
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&be->one_pass, &recursive);
    pthread_mutexattr_destroy(&recursive);
}

void backend_free_lock(backend *be) { pthread_mutex_destroy(&be->one_pass); }

void backend_hold(backend *be) { pthread_mutex_lock(&be->one_pass); }

void backend_release(backend *be) { pthread_mutex_unlock(&be->one_pass); }

int backend_failed(backend *be, const char *purpose, pcv_error *err) {
    int code = be->failure.code;
    if (!code) return 0;
    if (be->failure.message[0]) fail(err, code, "%s", be->failure.message);
    else fail(err, code, "not enough memory %s", purpose);
    be->failure.code = 0;
    return code;
}

int backend_alloc(backend *be, void *slot, size_t bytes, const char *purpose, pcv_error *err) {
    backend_hold(be);
    void *memory = be->alloc(be, bytes);
    if (memory) be->bytes_now += bytes;
    if (be->bytes_now > be->bytes_peak) be->bytes_peak = be->bytes_now;
    backend_release(be);
    if (!memory)
        return fail(err, PCV_MEMORY, "not enough memory: %.2f GiB for %s",
                    (double)bytes / (1 << 30), purpose);
    memcpy(slot, &memory, sizeof memory);
    return 0;
}

void backend_free(backend *be, void *memory, size_t bytes) {
    if (!memory) return;
    backend_hold(be);
    be->free(be, memory, bytes);
    be->bytes_now -= bytes;
    backend_release(be);
}

enum { MOST = 512 }; /* floats that are converted at once */

static uint16_t to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FC0; /* not a number */
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16); /* to nearest, ties to even */
}

static float from_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A piece of packed floats between host and device, converted where the device's numbers are others. */
static void move_part(backend *be, const matrix *part, float *out, const float *in) {
    union {
        double wide[MOST];
        uint16_t narrow[MOST];
    } there;
    for (int64_t i = 0; in && i < part->cols; i++) {
        if (part->type == F64) there.wide[i] = (double)in[i];
        else there.narrow[i] = to_bf16(in[i]);
    }
    if (in) be->write(be, part->data, &there, matrix_bytes(part));
    else be->read(be, &there, part->data, matrix_bytes(part));
    backend_finish(be);
    for (int64_t i = 0; out && i < part->cols; i++)
        out[i] = part->type == F64 ? (float)there.wide[i] : from_bf16(there.narrow[i]);
}

static void move_row(backend *be, const matrix *row, float *out, const float *in) {
    for (int64_t at = 0; at < row->cols; at += MOST) {
        matrix part = matrix_columns(*row, at, row->cols - at < MOST ? row->cols - at : MOST);
        move_part(be, &part, out ? out + at : NULL, in ? in + at : NULL);
    }
}

/* Rows are moved one by one only where they are not packed floats already. */
static void move_floats(backend *be, const matrix *m, float *out, const float *in) {
    bool packed = m->stride == m->cols && m->type == F32;
    for (int64_t r = 0; r < m->rows; r++) {
        matrix row = packed ? *m : matrix_rows(*m, r, 1);
        float *to = out ? out + r * m->cols : NULL;
        const float *from = in ? in + r * m->cols : NULL;
        if (m->type != F32) move_row(be, &row, to, from);
        else if (out) be->read(be, to, row.data, matrix_bytes(&row));
        else be->write(be, row.data, from, matrix_bytes(&row));
        if (packed) break;
    }
    backend_finish(be);
}

void backend_write_floats(backend *be, const matrix *to, const float *from) {
    move_floats(be, to, NULL, from);
}

void backend_read_floats(backend *be, float *to, const matrix *from) {
    move_floats(be, from, to, NULL);
}

/* ------------------------------------------------------------------ null backend */

/* An address that nothing is stored at. */
static void *null_alloc(backend *be, size_t bytes) {
    (void)bytes;
    return be;
}

static void null_free(backend *be, void *memory, size_t bytes) {
    (void)be, (void)memory, (void)bytes;
}

static void null_write(backend *be, void *to, const void *from, size_t bytes) {
    (void)be, (void)to, (void)from, (void)bytes;
}

static void null_read(backend *be, void *to, const void *from, size_t bytes) {
    (void)be, (void)from;
    memset(to, 0, bytes);
}

#define NULL_KERNEL(name, type)                                                                    \
    static void null_##name(void *context, const type *args) { (void)context, (void)args; }
KERNELS(NULL_KERNEL)
#undef NULL_KERNEL

void backend_make_null(backend *be) {
    be->name = "null";
#define NULL_SLOT(slot, type) be->k.slot = null_##slot;
    KERNELS(NULL_SLOT)
#undef NULL_SLOT
    be->alloc = null_alloc;
    be->free = null_free;
    be->write = null_write;
    be->read = null_read;
    be->finish = NULL;
    be->pass_begin = NULL;
    be->pass_end = NULL;
}
