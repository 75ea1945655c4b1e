// Sixteen bits and f32, in plain integers: what the instructions of ptx.cuh give, and what there is no instruction for.
// src/precision/round.rs is the same in Rust: a value has the same bits on every GPU and CPU.
//
// One NaN is stored, whatever NaN was rounded. Infinities and subnormals are kept. What is past the largest finite value becomes an
// infinity.
#pragma once
#include "types.cuh"

constexpr u32 NAN_16 = 0x7fff;  // what the conversions of a GPU give
constexpr u32 INFINITY_32 = 0x7f800000;

// To nearest, ties to even.
__device__ __forceinline__ u32 bf16_of(float x) {
  const u32 bits = __float_as_uint(x);
  return x == x ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : NAN_16;
}

__device__ __forceinline__ u32 f16_of(float x) {
  const u32 bits = __float_as_uint(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > INFINITY_32) return NAN_16;
  // Below 2^-14 a multiple of 2^-24: what 0.5 has as the unit of its last place.
  const u32 small = __float_as_uint(__fadd_rn(__uint_as_float(magnitude), 0.5f)) - 0x3f000000;
  const u32 normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
  return sign | (magnitude < 0x38800000 ? small : normal < 0x7c00 ? normal : 0x7c00);
}

__device__ __forceinline__ float of_f16(u32 half) {
  const u32 magnitude = half & 0x7fff, sign = (half & 0x8000) << 16;
  // The exponent is 112 short of f32's: exact, and what is subnormal becomes normal.
  const u32 finite = __float_as_uint(__fmul_rn(__uint_as_float(magnitude << 13), 5.192296858534828e33f));
  return __uint_as_float(sign | (magnitude < 0x7c00 ? finite : magnitude << 13 | INFINITY_32));
}

// Up or down, so that the mean over all `random` is x: in bf16 by the upper 16 bits of it. In the upper half of the result.
__device__ __forceinline__ u32 bf16_up_or_down(float x, u32 random) {
  return x == x ? __float_as_uint(x) + (random >> 16) : NAN_16 << 16;
}

// In f16 by all 32 bits: exactly so from 2^-32 on; what is smaller is off by 2^-56 at most.
__device__ __forceinline__ u32 f16_up_or_down(float x, u32 random) {
  const u32 bits = __float_as_uint(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > INFINITY_32) return NAN_16;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  const u32 exponent = magnitude >> 23;
  const u32 significand = exponent == 0 ? magnitude : (magnitude & 0x7fffff) | 0x800000;
  const u32 dropped = exponent >= 113 ? 13 : 126 - (exponent == 0 ? 1 : exponent);  // bits of it
  const u32 kept = dropped < 24 ? significand >> dropped : 0;
  // What is dropped, in units of 2^-32 of the last place that is kept.
  const u32 fraction = dropped <= 32 ? significand << (32 - dropped) : dropped < 56 ? significand >> (dropped - 32) : 0;
  const u32 whole = exponent >= 113 ? (exponent - 113) << 10 : 0;
  return sign | (whole + kept + (fraction > random ? 1 : 0));
}
