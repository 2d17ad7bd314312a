/* The numbers of CUDA on the host: bits, intrinsics, min and max, bfloat16 (cuda_bf16.h). Part of emulator.h.
 * Approximate intrinsics are as exact here as the host's library is. */
#ifndef CUDA_EMULATOR_MATH_H
#define CUDA_EMULATOR_MATH_H

template <class To, class From> To emulated_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To to;
    memcpy((void *)&to, (const void *)&from, sizeof to);
    return to;
}
static inline unsigned __float_as_uint(float x) {
    return emulated_bits<unsigned>(x);
}
static inline int __float_as_int(float x) {
    return emulated_bits<int>(x);
}
static inline float __uint_as_float(unsigned x) {
    return emulated_bits<float>(x);
}
static inline float __int_as_float(int x) {
    return emulated_bits<float>(x);
}
static inline long long __double_as_longlong(double x) {
    return emulated_bits<long long>(x);
}
static inline double __longlong_as_double(long long x) {
    return emulated_bits<double>(x);
}

static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x) {
    return __builtin_popcountll(x);
}
static inline int __clz(int x) {
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __clzll(long long x) {
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
static inline int __ffs(int x) {
    return __builtin_ffs(x);
}
static inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; i++) y |= ((x >> i) & 1u) << (31 - i);
    return y;
}
static inline int __mul24(int a, int b) {
    int64_t product = (int64_t)((int)((unsigned)a << 8) >> 8) * ((int)((unsigned)b << 8) >> 8);
    return (int)(unsigned)product;
}
static inline unsigned __umul24(unsigned a, unsigned b) {
    return (a & 0xffffffu) * (b & 0xffffffu);
}
static inline int __mulhi(int a, int b) {
    return (int)((int64_t)a * b >> 32);
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((uint64_t)a * b >> 32);
}
static inline long long __mul64hi(long long a, long long b) {
    return (long long)((__int128)a * b >> 64);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)((((uint64_t)high << 32 | low) << (shift & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    uint64_t bytes = (uint64_t)y << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        unsigned which = selector >> (4 * i) & 15u, byte = (unsigned)(bytes >> (8 * (which & 7u))) & 255u;
        if (which & 8u) byte = byte & 128u ? 255u : 0;
        result |= byte << (8 * i);
    }
    return result;
}

/* Some of these names are the host library's own, so they are macros. */
#define __expf        expf
#define __exp10f      exp10f
#define __logf        logf
#define __log2f       log2f
#define __log10f      log10f
#define __sinf        sinf
#define __cosf        cosf
#define __tanf        tanf
#define __powf        powf
#define __sincosf     sincosf
#define __exp2f       exp2f
#define __tanhf       tanhf
#define __fsqrt_rn    sqrtf
#define __fmaf_rn     fmaf
#define __saturatef(x) fminf(fmaxf((x), 0.0f), 1.0f)
#define rsqrtf        emulated_rsqrtf
#define __frsqrt_rn   emulated_rsqrtf
#define rsqrt         emulated_rsqrt
#define __frcp_rn     emulated_reciprocal
#define __fdividef    emulated_divide
#define __fdiv_rn     emulated_divide
static inline float emulated_rsqrtf(float x) {
    return (float)(1.0 / sqrt((double)x));
}
static inline double emulated_rsqrt(double x) {
    return 1.0 / sqrt(x);
}
static inline float emulated_reciprocal(float x) {
    return 1.0f / x;
}
static inline float emulated_divide(float x, float y) {
    return x / y;
}
/* A product or a sum that is not contracted to one rounding. */
static inline float __fmul_rn(float x, float y) {
    volatile float product = x * y;
    return product;
}
static inline float __fadd_rn(float x, float y) {
    volatile float sum = x + y;
    return sum;
}
static inline float __fsub_rn(float x, float y) {
    volatile float difference = x - y;
    return difference;
}
static inline int __float2int_rn(float x) {
    return (int)rintf(x);
}
static inline int __float2int_rz(float x) {
    return (int)x;
}
static inline int __float2int_rd(float x) {
    return (int)floorf(x);
}
static inline int __float2int_ru(float x) {
    return (int)ceilf(x);
}
static inline unsigned __float2uint_rn(float x) {
    return (unsigned)rintf(x);
}
static inline float __int2float_rn(int x) {
    return (float)x;
}
static inline float __uint2float_rn(unsigned x) {
    return (float)x;
}

/* The overloads that CUDA has, so that what is ambiguous there is here too. */
#define EMULATED_MIN_MAX(result, a_type, b_type)                                                             \
    static inline result min(a_type a, b_type b) {                                                           \
        return (result)a < (result)b ? (result)a : (result)b;                                                \
    }                                                                                                        \
    static inline result max(a_type a, b_type b) {                                                           \
        return (result)a > (result)b ? (result)a : (result)b;                                                \
    }
#define EMULATED_MIN_MAX_INTEGERS(type)                                                                      \
    EMULATED_MIN_MAX(type, type, type)                                                                       \
    EMULATED_MIN_MAX(unsigned type, unsigned type, unsigned type)                                            \
    EMULATED_MIN_MAX(unsigned type, type, unsigned type)                                                     \
    EMULATED_MIN_MAX(unsigned type, unsigned type, type)
EMULATED_MIN_MAX_INTEGERS(int)
EMULATED_MIN_MAX_INTEGERS(long)
EMULATED_MIN_MAX_INTEGERS(long long)
#undef EMULATED_MIN_MAX_INTEGERS
#undef EMULATED_MIN_MAX
#define EMULATED_MIN_MAX(type, a_type, b_type, suffix)                                                       \
    static inline type min(a_type a, b_type b) {                                                             \
        return fmin##suffix(a, b);                                                                           \
    }                                                                                                        \
    static inline type max(a_type a, b_type b) {                                                             \
        return fmax##suffix(a, b);                                                                           \
    }
EMULATED_MIN_MAX(float, float, float, f)
EMULATED_MIN_MAX(double, double, double, )
EMULATED_MIN_MAX(double, float, double, )
EMULATED_MIN_MAX(double, double, float, )
#undef EMULATED_MIN_MAX

/* ---------------------------------------------------------------- bfloat16 */
/* The nearest, ties to even; NaN becomes one NaN. */
static inline unsigned short emulated_bfloat16(float x) {
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

struct __nv_bfloat16 {
    unsigned short bits_;
    __nv_bfloat16() = default;
    __nv_bfloat16(float x) : bits_(emulated_bfloat16(x)) {
    }
    operator float() const {
        return __uint_as_float((unsigned)bits_ << 16);
    }
};
typedef __nv_bfloat16 nv_bfloat16;

#define EMULATED_BFLOAT16(op)                                                                                \
    static inline __nv_bfloat16 operator op(const __nv_bfloat16 &a, const __nv_bfloat16 &b) {                \
        return __nv_bfloat16((float)a op(float) b);                                                          \
    }
EMULATED_BFLOAT16(+)
EMULATED_BFLOAT16(-)
EMULATED_BFLOAT16(*)
EMULATED_BFLOAT16(/)
#undef EMULATED_BFLOAT16

struct __attribute__((aligned(4))) __nv_bfloat162 {
    __nv_bfloat16 x, y;
    __nv_bfloat162() = default;
    __nv_bfloat162(const __nv_bfloat16 &a, const __nv_bfloat16 &b) : x(a), y(b) {
    }
};
typedef __nv_bfloat162 nv_bfloat162;

static inline __nv_bfloat16 __float2bfloat16(float x) {
    return __nv_bfloat16(x);
}
static inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    return __nv_bfloat16(x);
}
static inline float __bfloat162float(__nv_bfloat16 x) {
    return (float)x;
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) {
    return x.bits_;
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
    return emulated_bits<__nv_bfloat16>(bits);
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
    return {__nv_bfloat16(x), __nv_bfloat16(y)};
}
static inline __nv_bfloat162 __float22bfloat162_rn(float2 x) {
    return {__nv_bfloat16(x.x), __nv_bfloat16(x.y)};
}
static inline __nv_bfloat162 __float2bfloat162_rn(float x) {
    return {__nv_bfloat16(x), __nv_bfloat16(x)};
}
static inline float2 __bfloat1622float2(__nv_bfloat162 x) {
    return {(float)x.x, (float)x.y};
}
static inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) {
    return {x, y};
}
static inline __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 x) {
    return {x, x};
}
static inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 x) {
    return x.x;
}
static inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 x) {
    return x.y;
}
static inline float __low2float(__nv_bfloat162 x) {
    return (float)x.x;
}
static inline float __high2float(__nv_bfloat162 x) {
    return (float)x.y;
}

#endif
