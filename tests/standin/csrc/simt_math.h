// Arithmetic, mathematical functions, bits and conversions. IEEE, rounded to nearest. What ends in _rn is never fused,
// also in a program compiled without --fmad=false.
#pragma once

namespace cuda_on_cpu {

// Keeps a compiler that may fuse from seeing through the value.
template <class T>
inline __attribute__((always_inline)) T alone(T value) {
#if defined(CUDA_ON_CPU_FMAD) && defined(__x86_64__)
  asm("" : "+x"(value));
#elif defined(CUDA_ON_CPU_FMAD)
  asm("" : "+w"(value));
#endif
  return value;
}

template <class To, class From>
inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

// As the GPU converts: saturated, and NaN gives 0.
template <class To, class From>
inline To saturate(From x) {
  constexpr To top = To(-1) < 0 ? To(~(1ull << (8 * sizeof(To) - 1))) : To(-1), bottom = To(-1) < 0 ? To(-top - 1) : 0;
  if (x != x) return 0;
  if (x >= From(top)) return top;
  return x <= From(bottom) ? bottom : To(x);
}

}  // namespace cuda_on_cpu

inline float __fadd_rn(float a, float b) { return cuda_on_cpu::alone(cuda_on_cpu::alone(a) + cuda_on_cpu::alone(b)); }
inline float __fsub_rn(float a, float b) { return cuda_on_cpu::alone(cuda_on_cpu::alone(a) - cuda_on_cpu::alone(b)); }
inline float __fmul_rn(float a, float b) { return cuda_on_cpu::alone(a * b); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.f / a; }
inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
inline float __frsqrt_rn(float a) { return float(1.0 / __builtin_sqrt(double(a))); }
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) {
  return cuda_on_cpu::alone(cuda_on_cpu::alone(a) + cuda_on_cpu::alone(b));
}
inline double __dsub_rn(double a, double b) {
  return cuda_on_cpu::alone(cuda_on_cpu::alone(a) - cuda_on_cpu::alone(b));
}
inline double __dmul_rn(double a, double b) { return cuda_on_cpu::alone(a * b); }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __drcp_rn(double a) { return 1.0 / a; }
inline double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }

#define CUDA_ON_CPU_UNARY(name)                                 \
  inline double name(double x) { return __builtin_##name(x); }  \
  inline float name(float x) { return __builtin_##name##f(x); } \
  inline float name##f(float x) { return __builtin_##name##f(x); }
#define CUDA_ON_CPU_BINARY(name)                                            \
  inline double name(double x, double y) { return __builtin_##name(x, y); } \
  inline float name(float x, float y) { return __builtin_##name##f(x, y); } \
  inline float name##f(float x, float y) { return __builtin_##name##f(x, y); }

CUDA_ON_CPU_UNARY(sqrt)
CUDA_ON_CPU_UNARY(cbrt)
CUDA_ON_CPU_UNARY(exp)
CUDA_ON_CPU_UNARY(exp2)
CUDA_ON_CPU_UNARY(expm1)
CUDA_ON_CPU_UNARY(log)
CUDA_ON_CPU_UNARY(log2)
CUDA_ON_CPU_UNARY(log10)
CUDA_ON_CPU_UNARY(log1p)
CUDA_ON_CPU_UNARY(sin)
CUDA_ON_CPU_UNARY(cos)
CUDA_ON_CPU_UNARY(tan)
CUDA_ON_CPU_UNARY(asin)
CUDA_ON_CPU_UNARY(acos)
CUDA_ON_CPU_UNARY(atan)
CUDA_ON_CPU_UNARY(sinh)
CUDA_ON_CPU_UNARY(cosh)
CUDA_ON_CPU_UNARY(tanh)
CUDA_ON_CPU_UNARY(erf)
CUDA_ON_CPU_UNARY(erfc)
CUDA_ON_CPU_UNARY(fabs)
CUDA_ON_CPU_UNARY(floor)
CUDA_ON_CPU_UNARY(ceil)
CUDA_ON_CPU_UNARY(trunc)
CUDA_ON_CPU_UNARY(round)
CUDA_ON_CPU_UNARY(rint)
CUDA_ON_CPU_UNARY(nearbyint)
CUDA_ON_CPU_BINARY(pow)
CUDA_ON_CPU_BINARY(fmod)
CUDA_ON_CPU_BINARY(remainder)
CUDA_ON_CPU_BINARY(atan2)
CUDA_ON_CPU_BINARY(hypot)
CUDA_ON_CPU_BINARY(copysign)
CUDA_ON_CPU_BINARY(fmin)
CUDA_ON_CPU_BINARY(fmax)
CUDA_ON_CPU_BINARY(fdim)
CUDA_ON_CPU_BINARY(nextafter)
#undef CUDA_ON_CPU_UNARY
#undef CUDA_ON_CPU_BINARY

inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double ldexp(double x, int n) { return __builtin_ldexp(x, n); }
inline float ldexp(float x, int n) { return __builtin_ldexpf(x, n); }
inline float ldexpf(float x, int n) { return __builtin_ldexpf(x, n); }
inline double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
inline float rsqrt(float x) { return __frsqrt_rn(x); }
inline float rsqrtf(float x) { return __frsqrt_rn(x); }
inline double sinpi(double x) { return __builtin_sin(3.14159265358979323846 * __builtin_fmod(x, 2.0)); }
inline double cospi(double x) { return __builtin_cos(3.14159265358979323846 * __builtin_fmod(x, 2.0)); }
inline float sinpif(float x) { return float(sinpi(double(x))); }
inline float cospif(float x) { return float(cospi(double(x))); }
inline bool isnan(double x) { return x != x; }
inline bool isnan(float x) { return x != x; }
inline bool isinf(double x) { return __builtin_isinf(x); }
inline bool isinf(float x) { return __builtin_isinf(x); }
inline bool isfinite(double x) { return __builtin_isfinite(x); }
inline bool isfinite(float x) { return __builtin_isfinite(x); }
inline bool signbit(double x) { return __builtin_signbit(x); }
inline bool signbit(float x) { return __builtin_signbit(x); }
inline long long llrint(double x) { return __builtin_llrint(x); }
inline long long llround(double x) { return __builtin_llround(x); }
inline float __expf(float x) { return __builtin_expf(x); }
inline float __logf(float x) { return __builtin_logf(x); }
inline float __sinf(float x) { return __builtin_sinf(x); }
inline float __cosf(float x) { return __builtin_cosf(x); }
inline float __powf(float x, float y) { return __builtin_powf(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x != x ? 0.f : x < 0.f ? 0.f : x > 1.f ? 1.f : x; }
inline int abs(int x) { return x < 0 ? -x : x; }
inline long long abs(long long x) { return x < 0 ? -x : x; }
inline long long llabs(long long x) { return x < 0 ? -x : x; }
inline double abs(double x) { return __builtin_fabs(x); }
inline float abs(float x) { return __builtin_fabsf(x); }

#define CUDA_ON_CPU_MIN_MAX(R, A, B)                           \
  inline R min(A a, B b) { return (R)a < (R)b ? (R)a : (R)b; } \
  inline R max(A a, B b) { return (R)a > (R)b ? (R)a : (R)b; }
CUDA_ON_CPU_MIN_MAX(int, int, int)
CUDA_ON_CPU_MIN_MAX(unsigned int, unsigned int, unsigned int)
CUDA_ON_CPU_MIN_MAX(unsigned int, int, unsigned int)
CUDA_ON_CPU_MIN_MAX(unsigned int, unsigned int, int)
CUDA_ON_CPU_MIN_MAX(long, long, long)
CUDA_ON_CPU_MIN_MAX(unsigned long, unsigned long, unsigned long)
CUDA_ON_CPU_MIN_MAX(long long, long long, long long)
CUDA_ON_CPU_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
CUDA_ON_CPU_MIN_MAX(unsigned long long, long long, unsigned long long)
CUDA_ON_CPU_MIN_MAX(unsigned long long, unsigned long long, long long)
#undef CUDA_ON_CPU_MIN_MAX
inline float min(float a, float b) { return __builtin_fminf(a, b); }
inline float max(float a, float b) { return __builtin_fmaxf(a, b); }
inline double min(double a, double b) { return __builtin_fmin(a, b); }
inline double max(double a, double b) { return __builtin_fmax(a, b); }

inline long long __double_as_longlong(double x) { return cuda_on_cpu::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return cuda_on_cpu::bit_cast<double>(x); }
inline int __float_as_int(float x) { return cuda_on_cpu::bit_cast<int>(x); }
inline unsigned int __float_as_uint(float x) { return cuda_on_cpu::bit_cast<unsigned int>(x); }
inline float __int_as_float(int x) { return cuda_on_cpu::bit_cast<float>(x); }
inline float __uint_as_float(unsigned int x) { return cuda_on_cpu::bit_cast<float>(x); }
inline int __double2hiint(double x) { return int(cuda_on_cpu::bit_cast<unsigned long long>(x) >> 32); }
inline int __double2loint(double x) { return int(cuda_on_cpu::bit_cast<unsigned long long>(x)); }
inline double __hiloint2double(int high, int low) {
  return cuda_on_cpu::bit_cast<double>((unsigned long long)(unsigned int)high << 32 | (unsigned int)low);
}

inline float __double2float_rn(double x) { return float(x); }
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned int x) { return float(x); }
inline float __ll2float_rn(long long x) { return float(x); }
inline float __ull2float_rn(unsigned long long x) { return float(x); }
inline double __int2double_rn(int x) { return x; }
inline double __uint2double_rn(unsigned int x) { return x; }
inline double __ll2double_rn(long long x) { return double(x); }
inline double __ull2double_rn(unsigned long long x) { return double(x); }
inline int __float2int_rn(float x) { return cuda_on_cpu::saturate<int>(__builtin_rint(x)); }
inline int __float2int_rz(float x) { return cuda_on_cpu::saturate<int>(__builtin_trunc(x)); }
inline unsigned int __float2uint_rn(float x) { return cuda_on_cpu::saturate<unsigned int>(__builtin_rint(x)); }
inline unsigned int __float2uint_rz(float x) { return cuda_on_cpu::saturate<unsigned int>(__builtin_trunc(x)); }
inline int __double2int_rn(double x) { return cuda_on_cpu::saturate<int>(__builtin_rint(x)); }
inline int __double2int_rz(double x) { return cuda_on_cpu::saturate<int>(__builtin_trunc(x)); }
inline int __double2int_rd(double x) { return cuda_on_cpu::saturate<int>(__builtin_floor(x)); }
inline long long __double2ll_rn(double x) { return cuda_on_cpu::saturate<long long>(__builtin_rint(x)); }
inline long long __double2ll_rz(double x) { return cuda_on_cpu::saturate<long long>(__builtin_trunc(x)); }
inline unsigned long long __double2ull_rn(double x) {
  return cuda_on_cpu::saturate<unsigned long long>(__builtin_rint(x));
}
inline unsigned long long __double2ull_rz(double x) {
  return cuda_on_cpu::saturate<unsigned long long>(__builtin_trunc(x));
}

inline int __popc(unsigned int x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline unsigned int __brev(unsigned int x) {
  unsigned int out = 0;
  for (int i = 0; i < 32; i++) out |= (x >> i & 1) << (31 - i);
  return out;
}
inline unsigned int __umulhi(unsigned int a, unsigned int b) { return (unsigned int)((unsigned long long)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}
