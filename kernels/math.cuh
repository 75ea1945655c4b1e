// The elementary functions that schedules are made of, in f64. src/program/math.rs is the same file in Rust, operation for
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
__device__ __forceinline__ u64 double_to_bits(double x) { return (u64)__double_as_longlong(x); }

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

// ln((1 + s) / (1 - s)) / 2s - 1 for |s| <= 0.1716: s^2/3 + s^4/5 + ...
__device__ __forceinline__ double ln_series_rest(double s) {
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
  return p * z;
}

// ln((1 + s) / (1 - s)) for |s| <= 0.1716.
__device__ __forceinline__ double ln_series(double s) { return 2.0 * fma(ln_series_rest(s), s, s); }

// m in (sqrt(1/2), sqrt(2)] and k with x = m * 2^k, for a positive, finite x.
__device__ __forceinline__ double split(double x, double& exponent) {
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
  exponent = (double)(k + bias);
  return m;
}

// The natural logarithm of a positive, finite x; minus infinity for 0.
__device__ __forceinline__ double ln_spec(double x) {
  if (x == 0.0) return bits_to_double(0xfff0000000000000ull);
  double k;
  const double m = split(x, k);
  const double y = ln_series((m - 1.0) / (m + 1.0));
  return fma(k, LN_2_HI, fma(k, LN_2_LO, y));
}

// ln x as a sum of two, about 60 bits, for a positive, finite x: what a large factor leaves accurate.
__device__ __forceinline__ double ln_sum(double x, double& rest) {
  double k;
  const double m = split(x, k);
  // s + s_low = (m - 1) / (m + 1), where m - 1 is exact.
  const double above = m - 1.0, below = m + 1.0;
  const double s = above / below;
  const double s_low = fma(-s, m - (below - 1.0), fma(-s, below, above)) / below;
  const double whole = k * LN_2_HI, part = 2.0 * s;
  const double sum = whole + part;
  const double low = (part - (sum - whole)) + fma(k, LN_2_LO, 2.0 * fma(ln_series_rest(s), s, s_low));
  const double high = sum + low;
  rest = low - (high - sum);
  return high;
}

// ln(part / whole) for 0 < part <= whole, accurate near 1 because the difference is taken in integers.
__device__ __forceinline__ double ln_quotient(u64 part, u64 whole) {
  const u64 gap = whole - part;
  if (gap <= whole / 4) return ln_series(-(double)gap / fma(2.0, (double)whole, -(double)gap));
  return ln_spec((double)part / (double)whole);
}

// Pi/2 in three parts, each the f64 nearest to what the parts before leave.
constexpr double HALF_PI_MIDDLE = 6.123233995736766e-17;
constexpr double HALF_PI_LOW = -1.4973849048591698e-33;

// The quadrant (0..3) and the rest in [-pi/4, pi/4] of an angle; arguments of 2^52 and more count as 0.
__device__ __forceinline__ u32 reduce_angle(double x, double& rest) {
  rest = 0.0;
  if (!(x > -4503599627370496.0 && x < 4503599627370496.0)) return 0;
  const double k = rint(x * (1.0 / HALF_PI));
  rest = fma(k, -HALF_PI_LOW, fma(k, -HALF_PI_MIDDLE, fma(k, -HALF_PI, x)));
  return (u32)((long long)k & 3);
}

// sin y for |y| <= pi/4 and a little more.
__device__ __forceinline__ double sin_reduced(double y) {
  const double z = y * y;
  double p = 1.0 / 355687428096000.0;  // 1/17!
  p = fma(p, z, -1.0 / 1307674368000.0);
  p = fma(p, z, 1.0 / 6227020800.0);
  p = fma(p, z, -1.0 / 39916800.0);
  p = fma(p, z, 1.0 / 362880.0);
  p = fma(p, z, -1.0 / 5040.0);
  p = fma(p, z, 1.0 / 120.0);
  p = fma(p, z, -1.0 / 6.0);
  return fma(p * z, y, y);
}

// cos y for |y| <= pi/4 and a little more.
__device__ __forceinline__ double cos_reduced(double y) {
  const double z = y * y;
  double p = 1.0 / 20922789888000.0;  // 1/16!
  p = fma(p, z, -1.0 / 87178291200.0);
  p = fma(p, z, 1.0 / 479001600.0);
  p = fma(p, z, -1.0 / 3628800.0);
  p = fma(p, z, 1.0 / 40320.0);
  p = fma(p, z, -1.0 / 720.0);
  p = fma(p, z, 1.0 / 24.0);
  p = fma(p, z, -0.5);
  return fma(p, z, 1.0);
}

// sin x and cos x, with an absolute error near 1e-16 up to 2^40.
__device__ __forceinline__ double sin_spec(double x) {
  double r;
  const u32 quadrant = reduce_angle(x, r);
  const double y = quadrant % 2 == 0 ? sin_reduced(r) : cos_reduced(r);
  return quadrant < 2 ? y : -y;
}

__device__ __forceinline__ double cos_spec(double x) {
  double r;
  const u32 quadrant = reduce_angle(x, r);
  const double y = quadrant % 2 == 0 ? cos_reduced(r) : sin_reduced(r);
  return quadrant == 1 || quadrant == 2 ? -y : y;
}

// sin^2(pi x / 2) for x in [0, 1/2].
__device__ __forceinline__ double sin2_half_pi(double x) {
  const double s = sin_reduced(HALF_PI * x);
  return s * s;
}

__device__ __forceinline__ double tanh_spec(double x) {
  if (x > 20.0) return 1.0;
  if (x < -20.0) return -1.0;
  const double e = expm1_spec(2.0 * x);
  return e / (e + 2.0);
}

// ln(1 - s) for s in [0, 1).
__device__ __forceinline__ double ln_one_minus(double s) {
  return s < 0.25 ? ln_series(-s / (2.0 - s)) : ln_spec(1.0 - s);
}

// x^y for x >= 0; 0^0 is 1.
__device__ __forceinline__ double pow_spec(double x, double y) {
  if (y == 0.0) return 1.0;
  if (x == 0.0) return y > 0.0 ? 0.0 : bits_to_double(0x7ff0000000000000ull);
  double low;
  const double high = ln_sum(x, low);
  const double product = y * high;
  return exp_sum(product, fma(y, high, -product) + y * low);
}

struct Sum {
  double high, low;
};

// a * b, about 100 bits.
__device__ __forceinline__ Sum product(Sum a, Sum b) {
  const double high = a.high * b.high;
  if (!(fabs(high) <= 1.7976931348623157e308)) return Sum{high, 0.0};
  const double low = fma(a.high, b.high, -high) + (a.high * b.low + a.low * b.high);
  const double sum = high + low;
  return Sum{sum, low - (sum - high)};
}

// x^n by repeated squaring, any sign of x. In sums of two, or the error would grow with n.
__device__ __forceinline__ double pow_int(double x, int n) {
  Sum base{x, 0.0}, y{1.0, 0.0};
#pragma unroll 1
  for (u32 left = n < 0 ? 0u - (u32)n : (u32)n; left > 0; left >>= 1) {
    if (left & 1) y = product(y, base);
    base = product(base, base);
  }
  return n < 0 ? 1.0 / y.high : y.high;
}

// floor(a / b) and a - b floor(a / b), as Python's // and %, for a finite a / b. The first is rounded where it is 2^53 or more.
__device__ __forceinline__ double floor_div_mod(double a, double b, double& mod) {
  double q = rint(a / b);
  mod = fma(-q, b, a);
  // A rounded quotient leaves more than one b. Each pass is exact and leaves at most 2^-53 of what there was.
#pragma unroll 1
  while (fabs(mod) > fabs(b)) mod = fma(-rint(mod / b), b, mod);
  if ((mod < 0.0 && b > 0.0) || (mod > 0.0 && b < 0.0)) {
    q = q - 1.0;
    mod = mod + b;
  }
  return q;
}

__device__ __forceinline__ double floor_div(double a, double b) {
  double mod;
  return floor_div_mod(a, b, mod);
}

__device__ __forceinline__ double floor_mod(double a, double b) {
  double mod;
  floor_div_mod(a, b, mod);
  return mod;
}

// No lower than min, no higher than max; a NaN stays.
__device__ __forceinline__ double clamp(double x, double min, double max) {
  if (x < min) return min;
  return x > max ? max : x;
}

// 1 - beta^n, the bias correction after n updates, from beta or from its logarithm, which is minus infinity for 0.
// Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1.
__device__ __forceinline__ double bias_correction_of_ln(double ln_beta, u64 n) { return -expm1_spec((double)n * ln_beta); }
__device__ __forceinline__ double bias_correction(double beta, u64 n) { return bias_correction_of_ln(ln_spec(beta), n); }

// The smaller and the larger one; a NaN stays, whichever side it is on.
template <class T>
__device__ __forceinline__ T smaller_or_nan(T a, T b) { return a <= b || a != a ? a : b; }
template <class T>
__device__ __forceinline__ T larger_or_nan(T a, T b) { return b <= a || a != a ? a : b; }
