/* Products of small matrices by one warp on the tensor cores, mma.sync of compute capability 8.0 and later, and how
 * their operands come: from global to shared memory without passing registers (cp.async), from there to registers in
 * the layout that the product wants (ldmatrix).
 *
 * A product is C [16, 8] += A [16, 16] B [16, 8], BF16 with F32 sums. With g = lane / 4 and t = lane % 4, a lane holds
 *     c[0..1] = C[g, 2t..2t+1],  c[2..3] = C[g + 8, 2t..2t+1]
 *     a[0] = A[g, 2t..2t+1],  a[1] = A[g + 8, 2t..],  a[2] = A[g, 2t + 8..],  a[3] = A[g + 8, 2t + 8..]
 *     b0 = B[2t..2t+1, g],  b1 = B[2t + 8.., g]
 * with two numbers in a register, the first in the low half. So the sums of two products side by side, rounded to
 * BF16, are the A of the next product, without a move between lanes.
 *
 * Another compiler than CUDA's gets the same functions over the emulator's warps. There an asynchronous copy poisons
 * its place when it is asked for and brings the numbers when it is waited for: a missing wait shows, and so does a
 * place that others still read. */
#ifndef CUDA_MMA_H
#define CUDA_MMA_H

#include "cuda/device.h"

#ifdef __CUDACC__

typedef uint32_t shared_address; /* bytes in the block's shared memory */

static __device__ __forceinline__ shared_address shared_at(const void *memory) {
    return (shared_address)__cvta_generic_to_shared(memory);
}

/* Sixteen bytes, or zeros where there are none; both addresses are multiples of 16. */
static __device__ __forceinline__ void copy_async(shared_address to, const void *from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}

/* This thread's copies since the last commit become a group. */
static __device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/* Until at most `groups` of this thread's groups are on their way; other threads see them behind a barrier. */
template <int groups> static __device__ __forceinline__ void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

/* Four 8 x 8 matrices of BF16. Lane i gives the address of row i % 8 of matrix i / 8, and gets elements
 * [g, 2t..2t+1] of each; transposed: [2t..2t+1, g]. */
static __device__ __forceinline__ void load_matrices(uint32_t (&r)[4], shared_address row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
}

static __device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], shared_address row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
}

static __device__ __forceinline__ void store_shared(shared_address to, uint32_t value) {
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(value) : "memory");
}

/* c += a b */
static __device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Two numbers rounded to BF16 in one register. */
static __device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

/* 2^x by the special function unit, to about 2^-22; -infinity gives 0. */
static __device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#else

#include <vector>

typedef uintptr_t shared_address;

static inline shared_address shared_at(const void *memory) { return (shared_address)memory; }

struct emulated_copy {
    shared_address to;
    const void *from;
    bool there;
};

/* Groups of copies of each thread that it has not waited for; the last one is not committed yet. */
static inline std::vector<std::vector<emulated_copy>> &emulated_groups() {
    static std::vector<std::vector<emulated_copy>> groups[1024];
    auto &mine = groups[threadIdx.x];
    if (mine.empty()) mine.emplace_back();
    return mine;
}

static inline void copy_async(shared_address to, const void *from, bool there) {
    if (to % 16 != 0 || (there && (uintptr_t)from % 16 != 0)) emulated_abort("cp.async: address not aligned");
    memset((void *)to, 0xff, 16);
    emulated_groups().back().push_back({to, from, there});
}

static inline void copy_commit() { emulated_groups().emplace_back(); }

template <int groups> static inline void copy_wait() {
    auto &mine = emulated_groups();
    while (mine.size() > groups + 1u) {
        for (const emulated_copy &copy : mine.front())
            if (copy.there) memcpy((void *)copy.to, copy.from, 16);
            else memset((void *)copy.to, 0, 16);
        mine.erase(mine.begin());
    }
}

struct emulated_load {
    const uint16_t *row;
    uint32_t *r;
};

template <bool transposed> static void emulated_load_run(void **all, int) {
    for (int lane = 0; lane < 32; lane++)
        for (int matrix = 0; matrix < 4; matrix++) {
            uint32_t pair[2];
            for (int i = 0; i < 2; i++) {
                int row = transposed ? lane % 4 * 2 + i : lane / 4, col = transposed ? lane / 4 : lane % 4 * 2 + i;
                pair[i] = ((const emulated_load *)all[matrix * 8 + row])->row[col];
            }
            ((emulated_load *)all[lane])->r[matrix] = pair[0] | pair[1] << 16;
        }
}

static inline void load_matrices(uint32_t (&r)[4], shared_address row) {
    if (row % 16 != 0) emulated_abort("ldmatrix: address not aligned");
    emulated_load mine = {(const uint16_t *)row, r};
    emulated_collective(&mine, 32, emulated_load_run<false>);
}

static inline void load_matrices_transposed(uint32_t (&r)[4], shared_address row) {
    if (row % 16 != 0) emulated_abort("ldmatrix: address not aligned");
    emulated_load mine = {(const uint16_t *)row, r};
    emulated_collective(&mine, 32, emulated_load_run<true>);
}

static inline void store_shared(shared_address to, uint32_t value) { memcpy((void *)to, &value, 4); }

struct emulated_product {
    float *c;
    uint32_t a[4], b[2];
};

static inline float emulated_half(uint32_t both, int which) {
    return __uint_as_float(which ? both & 0xffff0000u : both << 16);
}

static void emulated_product_run(void **all, int) {
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const emulated_product *p = (const emulated_product *)all[lane];
        int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++)
            for (int half = 0; half < 2; half++)
                a[g + i % 2 * 8][2 * t + i / 2 * 8 + half] = emulated_half(p->a[i], half);
        for (int i = 0; i < 2; i++)
            for (int half = 0; half < 2; half++) b[2 * t + 8 * i + half][g] = emulated_half(p->b[i], half);
    }
    for (int lane = 0; lane < 32; lane++) {
        const emulated_product *p = (const emulated_product *)all[lane];
        for (int i = 0; i < 4; i++) {
            int row = lane / 4 + i / 2 * 8, col = lane % 4 * 2 + i % 2;
            double sum = p->c[i];
            for (int k = 0; k < 16; k++) sum += (double)a[row][k] * (double)b[k][col];
            p->c[i] = (float)sum;
        }
    }
}

static inline void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulated_product mine = {c, {a[0], a[1], a[2], a[3]}, {b0, b1}};
    emulated_collective(&mine, 32, emulated_product_run);
}

static inline uint32_t pack_bf16(float low, float high) {
    return (uint32_t)__bfloat16_as_ushort(__float2bfloat16(low)) |
           (uint32_t)__bfloat16_as_ushort(__float2bfloat16(high)) << 16;
}

static inline float exp2_fast(float x) { return exp2f(x); }

#endif
#endif
