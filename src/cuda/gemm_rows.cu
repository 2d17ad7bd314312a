/* A block has 8 columns of C and all its rows, in tiles of 16; its warps share the depth, a chunk of 32 each in turn.
 * A product of the tensor cores forms every row of a tile by itself, so a row's sum does not depend on the others, nor
 * on how many there are.
 *
 * Operands come from memory as they lie: a lane reads 16 bytes of a row, 8 neighbouring elements of the depth, which
 * are two products' worth of the four that it holds in each (mma.h). The depth is so taken in another order than it
 * lies in, the same for both operands, and nothing goes through shared memory. */
#include "cuda/gemm_rows.h"
#include "cuda/elements.h"
#include "cuda/mma.h"

enum { TILE = 16, COLUMNS = 8, CHUNK = 32, SHARERS = 4, MOST_TILES = 4 };

__device__ __forceinline__ uint4 eight_of(const matrix &m, int64_t row, int64_t at) {
    if (row >= m.rows) return make_uint4(0, 0, 0, 0);
    return *(const uint4 *)(row_of<bf16>(m, row) + at);
}

template <class C, int TILES> __global__ void rows_kernel(gemm_args a) {
    __shared__ float shared[SHARERS][TILES * TILE][COLUMNS];
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    int64_t column = (int64_t)blockIdx.x * COLUMNS, chunks = a.a.cols / CHUNK;
    float sum[TILES][4] = {{0}};
#pragma unroll 2
    for (int64_t chunk = warp; chunk < chunks; chunk += SHARERS) {
        int64_t at = chunk * CHUNK + t * 8;
        uint4 b = eight_of(a.b, column + g, at);
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            uint4 upper = eight_of(a.a, i * TILE + g, at), lower = eight_of(a.a, i * TILE + g + 8, at);
            const uint32_t first[4] = {upper.x, lower.x, upper.y, lower.y};
            const uint32_t second[4] = {upper.z, lower.z, upper.w, lower.w};
            multiply(sum[i], first, b.x, b.y);
            multiply(sum[i], second, b.z, b.w);
        }
    }
    for (int i = 0; i < TILES; i++)
        for (int k = 0; k < 4; k++) shared[warp][i * TILE + g + k / 2 * 8][2 * t + k % 2] = sum[i][k];
    __syncthreads();
    for (int e = threadIdx.x; e < TILES * TILE * COLUMNS; e += SHARERS * WARP) {
        int64_t r = e / COLUMNS, n = column + e % COLUMNS;
        if (r >= a.c.rows || n >= a.c.cols) continue;
        float all = 0;
        for (int s = 0; s < SHARERS; s++) all += shared[s][r][e % COLUMNS];
        C *to = row_of<C>(a.c, r) + n;
        if (a.bias.data) all += a.bias.type == BF16 ? to_float(((bf16 *)a.bias.data)[n]) : ((float *)a.bias.data)[n];
        put(to, scaled(to, a.beta) + all);
    }
}

bool rows_gemm_fits(const cuda_context *c, const gemm_args *a) {
    return c->level <= LEVEL_MMA && !a->transpose_a && a->transpose_b && a->a.type == BF16 && a->b.type == BF16 &&
           a->c.rows <= MOST_TILES * TILE && a->a.cols % CHUNK == 0 && in_packs(a->a, 8) && in_packs(a->b, 8);
}

void rows_gemm(cuda_context *c, const gemm_args *a) {
    unsigned blocks = (unsigned)((a->c.cols + COLUMNS - 1) / COLUMNS);
    by_type(a->c.type, [&](auto to) {
        using C = decltype(to);
        if (a->c.rows <= TILE) LAUNCH((rows_kernel<C, 1>), blocks, SHARERS * WARP, 0, c->stream, *a);
        else if (a->c.rows <= 2 * TILE) LAUNCH((rows_kernel<C, 2>), blocks, SHARERS * WARP, 0, c->stream, *a);
        else LAUNCH((rows_kernel<C, 4>), blocks, SHARERS * WARP, 0, c->stream, *a);
    });
}
