/* Vectors of floats under one set of names, so that each SIMD kernel is written once and compiled per
 * instruction set: SIMD_LEVEL is plain, neon, avx2 or avx512. plain uses the compiler's generic vectors of
 * four, which become SSE2 on x86-64. Every ARM processor of 64 bits has NEON, so that its kernels ask for it by
 * SIMD_NEON, where the compiler's flags tell the others apart.
 *
 * vf is a vector of VW floats, vm a mask of VW truth values. + - * / work on vf as they stand. */
#ifndef CPU_SIMD_H
#define CPU_SIMD_H

#include "tensor/matrix.h"

#include <stdint.h>
#include <string.h>

#define SIMD_CONCAT_(a, b) a##b
#define SIMD_CONCAT(a, b)  SIMD_CONCAT_(a, b)
#define SIMD_NAME(name)    SIMD_CONCAT(name, SIMD_LEVEL)

#if defined(__AVX512F__)
#    include <immintrin.h>
enum { VW = 16, TILE_ROWS = 8, HAS_FMA = 1 };
typedef __m512 vf;
typedef __mmask16 vm;
static inline vf vf_set(float x) { return _mm512_set1_ps(x); }
static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline vf vf_load_n(const float *p, int n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline void vf_store_n(float *p, vf x, int n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
}
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vm vf_greater(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline vf vf_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
static inline vf vf_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
static inline vf vf_scale2(vf a, vf n) { return _mm512_scalef_ps(a, n); } /* a 2^n */
static inline float vf_sum(vf a) { return _mm512_reduce_add_ps(a); }
static inline float vf_largest(vf a) { return _mm512_reduce_max_ps(a); }
/* Lane l is true when begin[l] <= key < end[l]. */
static inline vm vm_within(const int32_t *begin, const int32_t *end, int32_t key) {
    __m512i k = _mm512_set1_epi32(key);
    __mmask16 low = _mm512_cmple_epi32_mask(_mm512_loadu_si512(begin), k);
    return _mm512_mask_cmpgt_epi32_mask(low, _mm512_loadu_si512(end), k);
}

#elif defined(__AVX2__) && defined(__FMA__)
#    include <immintrin.h>
enum { VW = 8, TILE_ROWS = 6, HAS_FMA = 1 };
typedef __m256 vf;
typedef __m256 vm;
static inline vf vf_set(float x) { return _mm256_set1_ps(x); }
static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline __m256i vf_lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vf vf_load_n(const float *p, int n) { return _mm256_maskload_ps(p, vf_lanes(n)); }
static inline void vf_store_n(float *p, vf x, int n) { _mm256_maskstore_ps(p, vf_lanes(n), x); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vm vf_greater(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
static inline vf vf_select(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }
static inline vf vf_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT); }
static inline vf vf_scale2(vf a, vf n) { /* a 2^n for n in -127..127; -127 gives 0 */
    __m256i bits = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return a * _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}
static inline float vf_sum(vf a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
static inline float vf_largest(vf a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
static inline vm vm_within(const int32_t *begin, const int32_t *end, int32_t key) {
    __m256i k = _mm256_set1_epi32(key);
    __m256i above = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i *)(const void *)begin), k);
    __m256i below = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i *)(const void *)end), k);
    return _mm256_castsi256_ps(_mm256_andnot_si256(above, below));
}

#elif defined(SIMD_NEON)
#    include <arm_neon.h>
enum { VW = 4, TILE_ROWS = 8, HAS_FMA = 1 };
typedef float32x4_t vf;
typedef uint32x4_t vm;
static inline vf vf_set(float x) { return vdupq_n_f32(x); }
static inline vf vf_load(const float *p) { return vld1q_f32(p); }
static inline void vf_store(float *p, vf x) { vst1q_f32(p, x); }
static inline vf vf_load_n(const float *p, int n) {
    float part[4] = {0};
    memcpy(part, p, (size_t)n * sizeof *p);
    return vld1q_f32(part);
}
static inline void vf_store_n(float *p, vf x, int n) {
    float part[4];
    vst1q_f32(part, x);
    memcpy(p, part, (size_t)n * sizeof *p);
}
static inline vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf vf_max(vf a, vf b) { return vmaxq_f32(a, b); } /* NaN where either is */
static inline vf vf_min(vf a, vf b) { return vminq_f32(a, b); }
static inline vf vf_sqrt(vf a) { return vsqrtq_f32(a); }
static inline vm vf_greater(vf a, vf b) { return vcgtq_f32(a, b); }
static inline vf vf_select(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }
static inline vf vf_round(vf a) { return vrndnq_f32(a); }
static inline vf vf_scale2(vf a, vf n) { /* a 2^n for n in -127..127; -127 gives 0 */
    int32x4_t bits = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return a * vreinterpretq_f32_s32(vshlq_n_s32(bits, 23));
}
static inline float vf_sum(vf a) { return vaddvq_f32(a); }
static inline float vf_largest(vf a) { return vmaxvq_f32(a); }
static inline vm vm_within(const int32_t *begin, const int32_t *end, int32_t key) {
    int32x4_t k = vdupq_n_s32(key);
    return vandq_u32(vcleq_s32(vld1q_s32(begin), k), vcgtq_s32(vld1q_s32(end), k));
}

#else
enum { VW = 4, TILE_ROWS = 6, HAS_FMA = 0 };
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
typedef vi vm;
static inline vf vf_set(float x) { return (vf){x, x, x, x}; }
static inline vf vf_load(const float *p) {
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}
static inline void vf_store(float *p, vf x) { memcpy(p, &x, sizeof x); }
static inline vf vf_load_n(const float *p, int n) {
    vf x = {0};
    memcpy(&x, p, (size_t)n * sizeof *p);
    return x;
}
static inline void vf_store_n(float *p, vf x, int n) { memcpy(p, &x, (size_t)n * sizeof *p); }
static inline vf vf_fma(vf a, vf b, vf c) { return a * b + c; }
static inline vm vf_greater(vf a, vf b) { return a > b; }
static inline vf vf_select(vm m, vf a, vf b) { return (vf)((m & (vi)a) | (~m & (vi)b)); }
static inline vf vf_max(vf a, vf b) { return vf_select(a > b, a, b); }
static inline vf vf_min(vf a, vf b) { return vf_select(a < b, a, b); }
static inline vf vf_sqrt(vf a) {
    for (int i = 0; i < VW; i++) a[i] = __builtin_sqrtf(a[i]);
    return a;
}
static inline vf vf_round(vf a) { /* |a| < 2^22 */
    vf magic = vf_set(12582912.0f);
    return (a + magic) - magic;
}
static inline vf vf_scale2(vf a, vf n) {
    vi bits = __builtin_convertvector(n, vi) + 127;
    return a * (vf)(bits << 23);
}
static inline float vf_sum(vf a) { return (a[0] + a[1]) + (a[2] + a[3]); }
static inline float vf_largest(vf a) {
    float x = a[0] > a[1] ? a[0] : a[1], y = a[2] > a[3] ? a[2] : a[3];
    return x > y ? x : y;
}
static inline vm vm_within(const int32_t *begin, const int32_t *end, int32_t key) {
    vi b, e, k = {key, key, key, key};
    memcpy(&b, begin, sizeof b);
    memcpy(&e, end, sizeof e);
    return (b <= k) & (e > k);
}
#endif

/* Subnormal numbers take processors some hundred times as long as others, and are nothing beside these. Whoever may
 * make them makes zeros instead. */

/* exp(x) to 2 ulp; 0 below `least`, which is -87.3 or more (so for -inf too), the largest power of two near 88 above.
 * NaN stays NaN: max and min return their second operand then. */
static inline vf vf_exp_from(float least, vf x) {
    x = vf_min(vf_set(88.0f), vf_max(vf_set(least - 0.01f), x));
    vf n = vf_round(x * vf_set(1.44269504f));
    vf r = vf_fma(n, vf_set(-0.693359375f), x); /* ln 2 in two parts */
    r = vf_fma(n, vf_set(2.12194440e-4f), r);
    vf p = vf_set(1.9875691500e-4f); /* minimax on |r| <= ln 2 / 2 */
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(5.0000001201e-1f));
    vf e = vf_scale2(vf_fma(p, r * r, r + vf_set(1.0f)), n);
    return vf_select(vf_greater(vf_set(least), x), vf_set(0.0f), e);
}

static inline vf vf_exp(vf x) { return vf_exp_from(-87.3f, x); }

static inline vf vf_size(vf x) { return vf_max(x, vf_set(0) - x); }

/* 0 where the size of x is below `least`. */
static inline vf vf_or_zero(vf x, float least) {
    return vf_select(vf_greater(vf_set(least), vf_size(x)), vf_set(0), x);
}

/* sin(x) and cos(x) for |x| up to some millions, to 1e-7: the multiple k of pi/2 is taken off in three
 * parts, which needs the exact products of fused multiply-adds (HAS_FMA); polynomials of Cephes. */
static inline void vf_sincos(vf x, vf *sine, vf *cosine) {
    vf k = vf_round(x * vf_set(0.63661977f)), quarter = vf_set(0.25f), zero = vf_set(0);
    vf r = vf_fma(k, vf_set(-1.5707963705e+0f), x);
    r = vf_fma(k, vf_set(4.3711388287e-8f), r);
    r = vf_fma(k, vf_set(1.7151245100e-15f), r);
    vf z = r * r;
    vf s = vf_fma(vf_set(-1.9515295891e-4f), z, vf_set(8.3321608736e-3f));
    s = vf_fma(vf_fma(s, z, vf_set(-1.6666654611e-1f)) * z, r, r);
    vf c = vf_fma(vf_set(2.443315711809948e-5f), z, vf_set(-1.388731625493765e-3f));
    c = vf_fma(vf_fma(c, z, vf_set(4.166664568298827e-2f)) * z, z, vf_fma(vf_set(-0.5f), z, vf_set(1)));
    /* u: 0, 1/4, -1/2, -1/4 for k mod 4 = 0, 1, 2, 3 */
    vf u = k * quarter - vf_round(k * quarter);
    u = vf_select(vf_greater(u, vf_set(0.375f)), u - vf_set(1), u);
    vm odd = vf_greater(vf_set(0.1f), vf_size(vf_size(u) - quarter));
    vf a = vf_select(odd, c, s), b = vf_select(odd, s, c);
    *sine = vf_select(vf_greater(vf_set(-0.125f), u), zero - a, a);
    *cosine = vf_select(vf_greater(vf_size(u + vf_set(0.125f)), quarter), zero - b, b);
}

/* VW elements of BF16 or I8 as floats; the factor of a row of I8 is the caller's. */
#if defined(__AVX512F__)
static inline vf vf_from_bf16(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16));
}
static inline vf vf_from_i8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}
#elif defined(__AVX2__) && defined(__FMA__)
static inline vf vf_from_bf16(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16));
}
static inline vf vf_from_i8(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
}
#elif defined(SIMD_NEON)
static inline vf vf_from_bf16(const uint16_t *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
static inline vf vf_from_i8(const int8_t *p) {
    uint32_t four;
    memcpy(&four, p, sizeof four);
    int16x8_t wide = vmovl_s8(vcreate_s8(four));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}
#else
static inline vf vf_from_bf16(const uint16_t *p) {
    uint32_t bits[VW];
    for (int i = 0; i < VW; i++) bits[i] = (uint32_t)p[i] << 16;
    vf x;
    memcpy(&x, bits, sizeof x);
    return x;
}
static inline vf vf_from_i8(const int8_t *p) {
    vf x;
    for (int i = 0; i < VW; i++) x[i] = p[i];
    return x;
}
#endif

static inline vf vf_from_type(dtype type, const char *at) {
    if (type == BF16) return vf_from_bf16((const uint16_t *)(const void *)at);
    if (type == I8) return vf_from_i8((const int8_t *)(const void *)at);
    return vf_load((const float *)(const void *)at);
}

/* `lanes` elements from index i of a row that begins at p. */
static inline vf vf_load_type(dtype type, const void *p, int64_t i, int64_t lanes) {
    size_t size = dtype_bytes(type);
    const char *at = (const char *)p + (size_t)i * size;
    if (lanes == VW) return vf_from_type(type, at);
    char part[4 * VW] = {0};
    return vf_from_type(type, memcpy(part, at, (size_t)lanes * size));
}

static inline float *row(matrix m, int64_t r) { return (float *)m.data + r * m.stride; }

/* What the elements of row r are multiplied by. */
static inline float row_factor(const matrix *m, int64_t r) {
    float factor = 1;
    if (m->type == I8) memcpy(&factor, (const char *)m->data + (r + 1) * m->stride - 4, sizeof factor);
    return factor;
}

static inline vf vf_load_lanes(const float *p, int64_t lanes) {
    if (lanes == VW) return vf_load(p);
    return vf_load_n(p, (int)lanes);
}

static inline void vf_store_lanes(float *p, vf x, int64_t lanes) {
    if (lanes == VW) vf_store(p, x);
    else vf_store_n(p, x, (int)lanes);
}

/* For every vector of a row of n floats: body sees the offset `i` and the `lanes` in use; the last
 * round may be partial, and LOAD and STORE take that into account. */
#define FOR_VECTORS(n)                                                                             \
    for (int64_t i = 0, lanes; i < (n) && (lanes = (n) - i < VW ? (n) - i : VW, 1); i += VW)
#define LOAD(p)     vf_load_lanes((p) + i, lanes)
#define STORE(p, x) vf_store_lanes((p) + i, x, lanes)

#endif
