/* Hopper's way to multiply and to copy (compute capability 9.0, compiled for sm_90a).
 *
 * A product of a warpgroup, four warps, is C [64, N] += A [64, 16] B [16, N], BF16 with F32 sums, and runs beside the
 * threads: wgmma_fence, products, wgmma_commit make a group, and wgmma_wait<n> waits until at most n groups are under
 * way. B lies in shared memory; A does so too (wgmma_ss) or is in registers (wgmma_rs). Of C, thread t holds in c[i]
 *     row 16 (t / 32) + t % 32 / 4 + 8 (i / 2 % 2),  column 8 (i / 4) + 2 (t % 4) + i % 2,
 * so that c[8 k .. 8 k + 7], rounded and packed in pairs, are the A of columns 16 k to 16 k + 15 (pack_operand).
 *
 * A tile in shared memory has rows of 64 BF16, 128 bytes, and begins at a multiple of 1024 bytes. The 16-byte chunk c
 * of row r stands at chunk c XOR r % 8 (the hardware's "128-byte swizzle"), so that neither rows nor columns meet in
 * the same banks; tile_load copies so. One tile serves both ways: its rows are the rows of A or the columns of B
 * (tile_rows), or its rows are what the product sums over (tile_sums, for B with `sums` true). Wider matrices are
 * several tiles, `leading` bytes apart.
 *
 * tile_load copies a box of a matrix in global memory, whose shape a tensor_map tells, rows outside giving zeros.
 * Such copies are done when the barrier that they name is: one thread tells it the bytes that it will see
 * (barrier_expect), others wait for phase 0, 1, 0 ... of it (barrier_wait).
 *
 * Under another compiler than CUDA's the same functions work over the emulator. There a copy poisons its place at once
 * and brings its numbers when its barrier is waited for; a product is computed when its group is waited for, from the
 * descriptors bit by bit. So a missing wait, a stage that is reused too early and a wrong descriptor give NaNs. */
#ifndef CUDA_WGMMA_H
#define CUDA_WGMMA_H

#include "cuda/device.h"
#include "cuda/mma.h"

#ifdef __CUDACC__
#include <cuda.h>
typedef CUtensorMap tensor_map;
#else
#include "wgmma_emulated.h"
#endif

/* Whether code is compiled for a device that has all this: kernels are empty for others, for which a library is built
 * too. */
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define WGMMA_HERE 1
#else
#define WGMMA_HERE 0
#endif

/* ---------------------------------------------------------------- descriptors */

enum { TILE_COLUMNS = 64, TILE_ROW_BYTES = 128, TILE_GROUP_BYTES = 1024 /* eight rows */ };

/* How the hardware is told of a tile: address, leading and stride offsets in units of 16 bytes, and the swizzle. */
static __device__ __forceinline__ uint64_t tile_descriptor(uint32_t address, uint32_t leading, uint32_t stride) {
    return (uint64_t)(address >> 4 & 0x3fff) | (uint64_t)(leading >> 4 & 0x3fff) << 16 |
           (uint64_t)(stride >> 4 & 0x3fff) << 32 | (uint64_t)1 << 62;
}

/* The columns of the tile are summed over. The columns 16 k to 16 k + 15 start 32 k bytes later: + 2 k. */
static __device__ __forceinline__ uint64_t tile_rows(uint32_t address) {
    return tile_descriptor(address, 16, TILE_GROUP_BYTES);
}

/* The rows of the tile are summed over; B's columns 64 to 127 stand in a second tile, `leading` bytes behind. The
 * rows 16 k to 16 k + 15 start 2048 k bytes later: + 128 k. */
static __device__ __forceinline__ uint64_t tile_sums(uint32_t address, uint32_t leading) {
    return tile_descriptor(address, leading, TILE_GROUP_BYTES);
}

/* Where chunk `chunk` of a row stands, from the start of the tile. */
static __device__ __forceinline__ uint32_t tile_chunk(int row, int chunk) {
    return (uint32_t)(row * TILE_ROW_BYTES + ((chunk ^ (row & 7)) << 4));
}

#ifdef __CUDACC__

static __device__ __forceinline__ uint32_t shared_offset(const void *p) {
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* ---------------------------------------------------------------- products */

/* Keeps what the compiler does with registers on its side of a wait or a fence. */
template <int n> static __device__ __forceinline__ void hold(float (&x)[n]) {
#pragma unroll
    for (int i = 0; i < n; i++) asm volatile("" : "+f"(x[i])::"memory");
}

template <int n> static __device__ __forceinline__ void hold(uint32_t (&x)[n][4]) {
#pragma unroll
    for (int i = 0; i < 4 * n; i++) asm volatile("" : "+r"(x[i / 4][i % 4])::"memory");
}

/* In front of products, with what they add to and read in registers. */
template <class... T> static __device__ __forceinline__ void wgmma_fence(T &...registers) {
    (hold(registers), ...);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/* With the sums that are read or changed from here on. */
template <int groups, class... T> static __device__ __forceinline__ void wgmma_wait(T &...sums) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(groups) : "memory");
    (hold(sums), ...);
}

#define WGMMA_SUMS_32 \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                             \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define WGMMA_SUMS_48 \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                             \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "                    \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47}"
#define WGMMA_SUMS_64 \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                             \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "                    \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "                    \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"
#define WGMMA_8(c, i)                                                                                        \
    "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]),              \
        "+f"(c[i + 6]), "+f"(c[i + 7])
#define WGMMA_32(c) WGMMA_8(c, 0), WGMMA_8(c, 8), WGMMA_8(c, 16), WGMMA_8(c, 24)
#define WGMMA_48(c) WGMMA_32(c), WGMMA_8(c, 32), WGMMA_8(c, 40)
#define WGMMA_64(c) WGMMA_32(c), WGMMA_8(c, 32), WGMMA_8(c, 40), WGMMA_8(c, 48), WGMMA_8(c, 56)

/* C = A B, or C += A B where `add`, both in shared memory, the columns of A's tile and, unless `sums`, of B's being
 * summed over. N is twice the length of c: 64, 96 or 128. */
template <bool sums> static __device__ __forceinline__ void wgmma_ss(float (&c)[32], uint64_t a, uint64_t b, int add) {
    asm volatile("{.reg .pred p; setp.ne.b32 p, %34, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 WGMMA_SUMS_32 ", %32, %33, p, 1, 1, 0, %35;}"
                 : WGMMA_32(c)
                 : "l"(a), "l"(b), "r"(add), "n"(sums ? 1 : 0));
}

template <bool sums> static __device__ __forceinline__ void wgmma_ss(float (&c)[48], uint64_t a, uint64_t b, int add) {
    asm volatile("{.reg .pred p; setp.ne.b32 p, %50, 0; wgmma.mma_async.sync.aligned.m64n96k16.f32.bf16.bf16 "
                 WGMMA_SUMS_48 ", %48, %49, p, 1, 1, 0, %51;}"
                 : WGMMA_48(c)
                 : "l"(a), "l"(b), "r"(add), "n"(sums ? 1 : 0));
}

template <bool sums> static __device__ __forceinline__ void wgmma_ss(float (&c)[64], uint64_t a, uint64_t b, int add) {
    asm volatile("{.reg .pred p; setp.ne.b32 p, %66, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
                 WGMMA_SUMS_64 ", %64, %65, p, 1, 1, 0, %67;}"
                 : WGMMA_64(c)
                 : "l"(a), "l"(b), "r"(add), "n"(sums ? 1 : 0));
}

/* C += A B with A in registers. */
template <bool sums>
static __device__ __forceinline__ void wgmma_rs(float (&c)[32], const uint32_t (&a)[4], uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 WGMMA_SUMS_32 ", {%32, %33, %34, %35}, %36, 1, 1, 1, %37;"
                 : WGMMA_32(c)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(sums ? 1 : 0));
}

template <bool sums>
static __device__ __forceinline__ void wgmma_rs(float (&c)[64], const uint32_t (&a)[4], uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
                 WGMMA_SUMS_64 ", {%64, %65, %66, %67}, %68, 1, 1, 1, %69;"
                 : WGMMA_64(c)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(sums ? 1 : 0));
}

/* ---------------------------------------------------------------- copies and their barriers */

/* For `arrivals` calls of barrier_expect a phase; by one thread, before copies_ready. */
static __device__ __forceinline__ void barrier_init(uint32_t barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/* Makes barriers known to the copies that this thread asks for. */
static __device__ __forceinline__ void copies_ready() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

static __device__ __forceinline__ void barrier_expect(uint32_t barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

static __device__ __forceinline__ bool barrier_test(uint32_t barrier, uint32_t phase) {
    uint32_t done;
    asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.b32 %0, 1, 0, p;}"
                 : "=r"(done)
                 : "r"(barrier), "r"(phase)
                 : "memory");
    return done != 0;
}

/* Counts 0 to `last` and 0 again, and returns the count before. What a thread did before it counts is seen by whoever
 * counts on. */
static __device__ __forceinline__ unsigned count_around(unsigned *count, unsigned last) {
    unsigned before;
    asm volatile("atom.acq_rel.cta.shared::cta.inc.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "r"(shared_offset(count)), "r"(last)
                 : "memory");
    return before;
}

/* True in all threads of warpgroup `group` where it is in any. */
static __device__ __forceinline__ bool warpgroup_any(int group, bool mine) {
    int any;
    asm volatile("{.reg .pred p, q; setp.ne.b32 p, %1, 0; barrier.cta.red.or.pred q, %2, 128, p; selp.b32 %0, 1, 0, q;}"
                 : "=r"(any)
                 : "r"((int)mine), "r"(group + 1)
                 : "memory");
    return any != 0;
}

static __device__ __forceinline__ uint64_t nanoseconds() {
    uint64_t t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}

/* A copy that does not come within ten seconds is a defect: better an error than a device that hangs. */
static __device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t phase) {
    if (barrier_test(barrier, phase)) return;
    uint64_t start = nanoseconds();
    while (!barrier_test(barrier, phase))
        if (nanoseconds() - start > 10000000000ull) __trap();
}

/* The tile of 64 columns from `column` and as many rows as the map's box has from `row` on, of one sequence. */
static __device__ __forceinline__ void tile_load(uint32_t to, const tensor_map *map, int column, int row, int sequence,
                                                 uint32_t barrier) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
                 "[%1, {%3, %4, %5}], [%2];" ::"r"(to),
                 "l"(map), "r"(barrier), "r"(column), "r"(row), "r"(sequence)
                 : "memory");
}

/* Packed bytes, a multiple of 16. */
static __device__ __forceinline__ void bytes_load(uint32_t to, const void *from, int bytes, uint32_t barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 :
                 : "r"(to), "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(barrier)
                 : "memory");
}

#endif

/* ---------------------------------------------------------------- from sums to operands */

/* `count` numbers of C from c[from] on, rounded, as the A of the next product: registers for each 16 of its columns. */
template <int from, int count, int n>
static __device__ __forceinline__ void pack_operand(uint32_t (&a)[count / 8][4], const float (&c)[n]) {
#pragma unroll
    for (int i = 0; i < count / 2; i++) a[i / 4][i % 4] = pack_bf16(c[from + 2 * i], c[from + 2 * i + 1]);
}

/* C += A B as a group, A in registers, B's rows being summed over: A has 16 n columns. */
template <int n, int m>
static __device__ __forceinline__ void begin_sums(float (&c)[m], uint32_t (&a)[n][4], uint64_t b) {
    wgmma_fence(c, a);
#pragma unroll
    for (int i = 0; i < n; i++) wgmma_rs<true>(c, a[i], b + i * 128);
    wgmma_commit();
}

/* The same where C is under way already. */
template <int n, int m>
static __device__ __forceinline__ void go_on_with_sums(float (&c)[m], uint32_t (&a)[n][4], uint64_t b) {
    wgmma_fence(a);
#pragma unroll
    for (int i = 0; i < n; i++) wgmma_rs<true>(c, a[i], b + i * 128);
    wgmma_commit();
}

/* ---------------------------------------------------------------- on the host */

/* The map of a BF16 matrix of `batch` sequences of rows, for boxes of `box_rows` rows; false when the driver has none
 * to give. Data and stride are multiples of 16 bytes. */
#ifdef __CUDACC__
typedef CUresult (*tensor_map_encode)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                                      const cuuint64_t *, const cuuint32_t *, const cuuint32_t *,
                                      CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                                      CUtensorMapFloatOOBfill);

/* The driver's function, found at run time so that nothing is linked to the driver; NULL when it has none. */
static tensor_map_encode tensor_map_encoder() {
    void *function = NULL;
    cudaDriverEntryPointQueryResult found;
#if CUDART_VERSION >= 12050
    cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
#else
    cudaError_t error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
    return error == cudaSuccess && found == cudaDriverEntryPointSuccess ? (tensor_map_encode)function : NULL;
}

static inline bool tensor_map_make(tensor_map *map, void *data, int64_t cols, int64_t rows, int64_t batch,
                                   int64_t stride, int box_rows) {
    static const tensor_map_encode encode = tensor_map_encoder();
    cuuint64_t sizes[] = {(cuuint64_t)cols, (cuuint64_t)rows, (cuuint64_t)batch};
    cuuint64_t strides[] = {(cuuint64_t)stride * 2, (cuuint64_t)(rows * stride) * 2};
    cuuint32_t box[] = {TILE_COLUMNS, (cuuint32_t)box_rows, 1}, steps[] = {1, 1, 1};
    return encode && encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, data, sizes, strides, box, steps,
                            CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                            CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}
#endif

#endif
