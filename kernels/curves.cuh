// The curves that schedules are made of, in f64. src/program/curves.rs is the same file in Rust, operation for operation.
//
// Counts stay integers until one division; a ramp is computed from its nearer end, so that neither 1 + cos nor 1 - sqrt(r)
// cancels: the weight from an end is accurate by itself.
#pragma once
#include "math.cuh"

// The value at weight w from the start of the way from `from` to `to`, and from its end.
__device__ __forceinline__ double from_start(double from, double to, double w) { return fma(to - from, w, from); }
__device__ __forceinline__ double from_end(double from, double to, double w) { return fma(from - to, w, to); }

// e^y is the share that is left to go, or that is gone; y <= 0.
__device__ __forceinline__ double left_exp(double from, double to, double y) {
  return y < -LN_2 ? from_end(from, to, exp_spec(y)) : from_start(from, to, -expm1_spec(y));
}
__device__ __forceinline__ double gone_exp(double from, double to, double y) {
  return y < -LN_2 ? from_start(from, to, exp_spec(y)) : from_end(from, to, -expm1_spec(y));
}

__device__ __forceinline__ double share(u64 part, u64 whole) { return (double)part / (double)whole; }

// Ramps go from `from` at t = 0 to `to` at t = len and stay there.

__device__ __forceinline__ double linear(double from, double to, u64 t, u64 len) {
  if (t >= len) return to;
  const u64 left = len - t;
  return left <= t ? from_end(from, to, share(left, len)) : from_start(from, to, share(t, len));
}

__device__ __forceinline__ double cosine(double from, double to, u64 t, u64 len) {
  if (t >= len) return to;
  const u64 left = len - t;
  return left <= t ? from_end(from, to, sin2_half_pi(share(left, len)))
                   : from_start(from, to, sin2_half_pi(share(t, len)));
}

// Left to go: cos^2(pi (t / len)^k / 2)^exponent.
__device__ __forceinline__ double cosine_power(double from, double to, u64 t, u64 len, double exponent, double k) {
  if (t >= len) return to;
  if (t == 0) return from;
  const double y = k * ln_quotient(t, len);
  const double x = exp_spec(y), rest = -expm1_spec(y);
  if (rest <= 0.5) return from_end(from, to, pow_spec(sin2_half_pi(rest), exponent));
  return left_exp(from, to, exponent * ln_one_minus(sin2_half_pi(x)));
}

// Left to go: (1 - t / len)^power.
__device__ __forceinline__ double polynomial(double from, double to, u64 t, u64 len, double power) {
  if (t >= len) return to;
  return left_exp(from, to, power * ln_quotient(len - t, len));
}

// Left to go: (1 - (t / len)^k)^power.
__device__ __forceinline__ double polynomial_k(double from, double to, u64 t, u64 len, double power, double k) {
  if (t >= len) return to;
  if (t == 0) return from;
  const double y = k * ln_quotient(t, len);
  const double ln_rest = y < -LN_2 ? ln_one_minus(exp_spec(y)) : ln_spec(-expm1_spec(y));
  return left_exp(from, to, power * ln_rest);
}

// Gone: (t / len)^power.
__device__ __forceinline__ double power_rise(double from, double to, u64 t, u64 len, double power) {
  if (t >= len) return to;
  if (t == 0) return from;
  return gone_exp(from, to, power * ln_quotient(t, len));
}

// ln_ratio is ln(to / from).
__device__ __forceinline__ double geometric(double from, double to, u64 t, u64 len, double ln_ratio) {
  if (t >= len) return to;
  const u64 left = len - t;
  if (left <= t) return to * exp_spec(-ln_ratio * share(left, len));
  return from * exp_spec(ln_ratio * share(t, len));
}

// Left to go: (1 - tanh(start + (end - start) t / len)) / 2, which is not quite 1 at t = 0.
__device__ __forceinline__ double tanh_ramp(double from, double to, u64 t, u64 len, double start, double end) {
  if (t >= len) return to;
  const double u = 2.0 * fma(end - start, share(t, len), start);
  if (u > 0.0) {
    const double e = exp_spec(-u);
    return from_end(from, to, e / (1.0 + e));
  }
  const double e = exp_spec(u);
  return from_start(from, to, e / (1.0 + e));
}

// Left to go: z / (1 - d + d z) with z = 1 - t / len.
__device__ __forceinline__ double rex(double from, double to, u64 t, u64 len, double d) {
  if (t >= len) return to;
  const double x = share(t, len), z = share(len - t, len);
  const double below = fma(d, z, 1.0 - d);
  const double left = z / below, gone = (1.0 - d) * x / below;
  return left <= gone ? from_end(from, to, left) : from_start(from, to, gone);
}

// Left to go: 2 * 2^(-t / len) - 1.
__device__ __forceinline__ double half_life(double from, double to, u64 t, u64 len) {
  if (t >= len) return to;
  const u64 left = len - t;
  if (left <= t) return from_end(from, to, expm1_spec(LN_2 * share(left, len)));
  return from_start(from, to, -2.0 * expm1_spec(-LN_2 * share(t, len)));
}

// Gone: ln(t + 1) / ln(len + 1).
__device__ __forceinline__ double log_rise(double from, double to, u64 t, u64 len) {
  if (t >= len) return to;
  const double whole = ln_spec((double)len + 1.0);
  const u64 end = len + 1 == 0 ? len : len + 1;
  const double gone = ln_spec((double)t + 1.0) / whole, left = -ln_quotient(t + 1, end) / whole;
  return left <= gone ? from_end(from, to, left) : from_start(from, to, gone);
}

// Curves without an end.

// init * exp(t * (ln_hi + ln_lo)).
__device__ __forceinline__ double exponential(double init, double ln_hi, double ln_lo, u64 t) {
  if (init == 0.0) return init;  // where the power is infinite, 0 times it would be a NaN
  const double n = (double)t;
  const double y = n * ln_hi;
  return init * exp_sum(y, fma(n, ln_hi, -y) + n * ln_lo);
}

// init * sqrt(timescale / (timescale + t)).
__device__ __forceinline__ double inverse_sqrt(double init, double timescale, u64 t) {
  return init * sqrt(timescale / (timescale + (double)t));
}

// init / (1 + rate * t).
__device__ __forceinline__ double inverse_time(double init, double rate, u64 t) {
  return init / fma(rate, (double)t, 1.0);
}

// factor * (t + shift)^exponent, with t + shift > 0.
__device__ __forceinline__ double power_law(double factor, double exponent, double shift, u64 t) {
  if (factor == 0.0) return factor;  // as in `exponential`
  return factor * pow_spec((double)t + shift, exponent);
}
