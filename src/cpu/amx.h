/* Products of bf16 by AMX: registers of 16 rows of 64 bytes each, and the instruction that multiplies two of them
 * (Intel's manual, TDPBF16PS): C [16, 16] += A [16, 32] B [32, 16], sums in float32.
 *
 * A lies in rows of 32 numbers. B lies in rows of 16 words, a word for two rows: word (k, lane) = B[2k, lane],
 * B[2k + 1, lane]. So there are two ways to round numbers that lie in rows, along the row and in pairs of rows, and
 * either transposed moves words, never halves of them. */
#ifndef CPU_AMX_H
#define CPU_AMX_H

#include "cpu/simd.h"

#include <stdbool.h>

enum {
    DEPTH = 32, /* numbers of a row of a register */
    ROWS = 16,  /* of a register; and its lanes, of words and of sums */
    BLOCK = 2 * ROWS, /* rows and lanes of C that four registers hold */
};

/* Between these two a thread may multiply. */
static inline void tiles_begin(void) {
    static const struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } registers = {.palette = 1,
                   .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                   .rows = {ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS}};
    _tile_loadconfig(&registers);
}

static inline void tiles_end(void) { _tile_release(); }

/* A factor in tiles: bytes from one of its rows to the next, to the 16 rows below (or lanes beside), and to the next 32
 * of the depth. */
typedef struct tiles {
    const void *p;
    int64_t row, beside, onward;
} tiles;

/* C [BLOCK, BLOCK], its rows `apart` floats, (+)= A B over `steps` times DEPTH. */
static inline void tiles_multiply(int64_t steps, tiles a, tiles b, float *c, int64_t apart, bool add) {
    const char *x = a.p, *y = b.p;
    size_t c_row = (size_t)apart * sizeof *c;
    if (add) {
        _tile_loadd(0, c, c_row);
        _tile_loadd(1, c + ROWS, c_row);
        _tile_loadd(2, c + ROWS * apart, c_row);
        _tile_loadd(3, c + ROWS * apart + ROWS, c_row);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t k = 0; k < steps; k++, x += a.onward, y += b.onward) {
        _tile_loadd(4, x, (size_t)a.row);
        _tile_loadd(6, y, (size_t)b.row);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, y + b.beside, (size_t)b.row);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, x + a.beside, (size_t)a.row);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, c_row);
    _tile_stored(1, c + ROWS, c_row);
    _tile_stored(2, c + ROWS * apart, c_row);
    _tile_stored(3, c + ROWS * apart + ROWS, c_row);
}

/* 32 numbers rounded: those of `low`, then those of `high`. */
static inline __m512i round_two(vf low, vf high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

/* Words of two rows of 32 numbers: of the first 16 lanes, and of the others. */
static inline void pair_up(__m512i even, __m512i odd, uint32_t *first, uint32_t *second) {
    static const uint16_t order[2][32] = {
        {0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39,
         8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47},
        {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
         24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63}};
    _mm512_storeu_si512(first, _mm512_permutex2var_epi16(even, _mm512_loadu_si512(order[0]), odd));
    _mm512_storeu_si512(second, _mm512_permutex2var_epi16(even, _mm512_loadu_si512(order[1]), odd));
}

/* y [16, 16] = x transposed, by blocks of 1, 2, 4 and 8 words that change places across the diagonal. */
static inline void turn_block(const uint32_t *x, int64_t ldx, uint32_t *y, int64_t ldy) {
    __m512i row[16], lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    for (int i = 0; i < 16; i++) row[i] = _mm512_loadu_si512(x + i * ldx);
    for (int step = 1; step < 16; step *= 2) {
        /* Index 16 and up is the second row's. */
        __mmask16 upper = _mm512_test_epi32_mask(lane, _mm512_set1_epi32(step));
        __m512i shift = _mm512_set1_epi32(step), second = _mm512_set1_epi32(16);
        __m512i to_low = _mm512_mask_add_epi32(lane, upper, _mm512_sub_epi32(lane, shift), second);
        __m512i to_high = _mm512_mask_add_epi32(_mm512_add_epi32(lane, shift), upper, lane, second);
        for (int i = 0; i < 16; i++) {
            if (i & step) continue;
            __m512i low = _mm512_permutex2var_epi32(row[i], to_low, row[i + step]);
            row[i + step] = _mm512_permutex2var_epi32(row[i], to_high, row[i + step]);
            row[i] = low;
        }
    }
    for (int i = 0; i < 16; i++) _mm512_storeu_si512(y + i * ldy, row[i]);
}

#endif
