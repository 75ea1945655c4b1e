// The functions that schedules are made of, in f64. src/program/curves.rs is the same file in Rust, operation for
// operation: a value has the same bits on every GPU and CPU. Compiled without contraction (--fmad=false); every fused
// multiply-add is written out. No library function is called: those differ between devices and carry slow paths.
#pragma once
#include "types.cuh"

constexpr double LN_2 = 0.693147180559945309417;
constexpr double LOG2_E = 1.44269504088896340736;
constexpr double LN_2_HI = 0.6931471803691238;  // 0x3FE62E42FEE00000: k * LN_2_HI is exact for |k| < 2^20
constexpr double LN_2_LO = 1.9082149292705877e-10;
constexpr double HALF_PI = 1.57079632679489661923;
constexpr double SQRT_2 = 1.41421356237309504880;

__device__ __forceinline__ double bits_to_double(u64 bits) { return __longlong_as_double((long long)bits); }

// e^r - 1 for |r| <= ln(2)/2 or a little more: r + r^2/2 + r^3 (1/3! + r/4! + ... ).
__device__ __forceinline__ double expm1_reduced(double r) {
  double p = 1.0 / 87178291200.0;  // 1/14!
  p = fma(p, r, 1.0 / 6227020800.0);
  p = fma(p, r, 1.0 / 479001600.0);
  p = fma(p, r, 1.0 / 39916800.0);
  p = fma(p, r, 1.0 / 3628800.0);
  p = fma(p, r, 1.0 / 362880.0);
  p = fma(p, r, 1.0 / 40320.0);
  p = fma(p, r, 1.0 / 5040.0);
  p = fma(p, r, 1.0 / 720.0);
  p = fma(p, r, 1.0 / 120.0);
  p = fma(p, r, 1.0 / 24.0);
  p = fma(p, r, 1.0 / 6.0);
  const double r2 = r * r;
  return r + fma(r2, 0.5, p * (r2 * r));
}

__device__ __forceinline__ double power_of_two(long long k) { return bits_to_double((u64)(k + 1023) << 52); }

// x * 2^k for k in -1100..1100, in two steps that are exact but for the last rounding.
__device__ __forceinline__ double scale(double x, long long k) {
  const long long half = k >> 1;
  return x * power_of_two(half) * power_of_two(k - half);
}

// e^(x + low), where low is a correction far below x. 0 and infinity past the range of f64.
__device__ __forceinline__ double exp_sum(double x, double low) {
  if (x > 710.0) return bits_to_double(0x7ff0000000000000ull);
  if (x < -750.0) return 0.0;
  const double k = rint(x * LOG2_E);
  const double r = fma(k, -LN_2_LO, fma(k, -LN_2_HI, x)) + low;
  return scale(1.0 + expm1_reduced(r), (long long)k);
}

__device__ __forceinline__ double exp_spec(double x) { return exp_sum(x, 0.0); }

// e^x - 1, accurate near 0.
__device__ __forceinline__ double expm1_spec(double x) {
  return x > -0.35 && x < 0.35 ? expm1_reduced(x) : exp_spec(x) - 1.0;
}

// ln((1 + s) / (1 - s)) for |s| <= 0.1716: 2s + 2s^3/3 + 2s^5/5 + ...
__device__ __forceinline__ double ln_series(double s) {
  const double z = s * s;
  double p = 1.0 / 25.0;
  p = fma(p, z, 1.0 / 23.0);
  p = fma(p, z, 1.0 / 21.0);
  p = fma(p, z, 1.0 / 19.0);
  p = fma(p, z, 1.0 / 17.0);
  p = fma(p, z, 1.0 / 15.0);
  p = fma(p, z, 1.0 / 13.0);
  p = fma(p, z, 1.0 / 11.0);
  p = fma(p, z, 1.0 / 9.0);
  p = fma(p, z, 1.0 / 7.0);
  p = fma(p, z, 1.0 / 5.0);
  p = fma(p, z, 1.0 / 3.0);
  return 2.0 * fma(p * z, s, s);
}

// The natural logarithm of a positive, finite x; minus infinity for 0.
__device__ __forceinline__ double ln_spec(double x) {
  if (x == 0.0) return bits_to_double(0xfff0000000000000ull);
  long long bias = 0;
  if (x < 2.2250738585072014e-308) {
    x = x * power_of_two(54);
    bias = -54;
  }
  const u64 bits = (u64)__double_as_longlong(x);
  long long k = (long long)((bits >> 52) & 0x7ff) - 1023;
  double m = bits_to_double((bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull);
  if (m > SQRT_2) {
    m = m * 0.5;
    k += 1;
  }
  const double n = (double)(k + bias);
  const double y = ln_series((m - 1.0) / (m + 1.0));
  return fma(n, LN_2_HI, fma(n, LN_2_LO, y));
}

// ln(part / whole) for 0 < part <= whole, accurate near 1 because the difference is taken in integers.
__device__ __forceinline__ double ln_quotient(u64 part, u64 whole) {
  const u64 gap = whole - part;
  if (gap <= whole / 4) return ln_series(-(double)gap / fma(2.0, (double)whole, -(double)gap));
  return ln_spec((double)part / (double)whole);
}

// sin^2(pi x / 2) for x in [0, 1/2].
__device__ __forceinline__ double sin2_half_pi(double x) {
  const double y = HALF_PI * x;
  const double z = y * y;
  double p = 1.0 / 355687428096000.0;  // 1/17!
  p = fma(p, z, -1.0 / 1307674368000.0);
  p = fma(p, z, 1.0 / 6227020800.0);
  p = fma(p, z, -1.0 / 39916800.0);
  p = fma(p, z, 1.0 / 362880.0);
  p = fma(p, z, -1.0 / 5040.0);
  p = fma(p, z, 1.0 / 120.0);
  p = fma(p, z, -1.0 / 6.0);
  const double s = fma(p * z, y, y);
  return s * s;
}

// Ramps go from `from` at t = 0 to `to` at t = len and stay there; each is computed from its nearer end.

__device__ __forceinline__ double linear(double from, double to, u64 t, u64 len) {
  if (t >= len) return to;
  const u64 left = len - t;
  if (left <= t) return fma(from - to, (double)left / (double)len, to);
  return fma(to - from, (double)t / (double)len, from);
}

__device__ __forceinline__ double cosine(double from, double to, u64 t, u64 len) {
  if (t >= len) return to;
  const u64 left = len - t;
  if (left <= t) return fma(from - to, sin2_half_pi((double)left / (double)len), to);
  return fma(to - from, sin2_half_pi((double)t / (double)len), from);
}

__device__ __forceinline__ double polynomial(double from, double to, u64 t, u64 len, double power) {
  if (t >= len) return to;
  const double y = power * ln_quotient(len - t, len);
  if (y < -LN_2) return fma(from - to, exp_spec(y), to);
  return fma(to - from, -expm1_spec(y), from);
}

// ln_ratio is ln(to / from).
__device__ __forceinline__ double geometric(double from, double to, u64 t, u64 len, double ln_ratio) {
  if (t >= len) return to;
  const u64 left = len - t;
  if (left <= t) return to * exp_spec(-ln_ratio * ((double)left / (double)len));
  return from * exp_spec(ln_ratio * ((double)t / (double)len));
}

// init * exp(t * (ln_hi + ln_lo)).
__device__ __forceinline__ double exponential(double init, double ln_hi, double ln_lo, u64 t) {
  const double n = (double)t;
  const double y = n * ln_hi;
  return init * exp_sum(y, fma(n, ln_hi, -y) + n * ln_lo);
}

// No lower than min, no higher than max; a NaN stays.
__device__ __forceinline__ double clamp(double x, double min, double max) {
  if (x < min) return min;
  return x > max ? max : x;
}

// 1 - beta^n, the bias correction after n updates. Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1.
__device__ __forceinline__ double bias_correction(double beta, u64 n) {
  if (beta == 0.0) return 1.0;
  return -expm1_spec((double)n * ln_spec(beta));
}
