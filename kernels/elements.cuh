// Types of elements: what each is in f32, what f32 is rounded to, and how vectors of them move. src/precision/round.rs is the
// same in Rust: a value has the same bits on every GPU and CPU.
//
// Sixteen bits hold one NaN, whatever NaN was rounded, and infinities; subnormals are kept. A value past the largest finite one
// becomes an infinity.
#pragma once
#include "memory.cuh"
#include "types.cuh"

using f32 = float;
struct bf16 {
  u16 bits;
};
struct f16 {
  u16 bits;
};

constexpr u32 NAN_16 = 0x7fff;  // what the conversions of a GPU give
constexpr u32 INFINITY_32 = 0x7f800000;

__device__ __forceinline__ float widen(f32 x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return __uint_as_float((u32)x.bits << 16); }
__device__ __forceinline__ float widen(f16 x) {
  const u32 magnitude = x.bits & 0x7fff, sign = (u32)(x.bits & 0x8000) << 16;
  // The exponent is 112 short of f32's: exact, and what is subnormal becomes normal.
  const u32 finite = __float_as_uint(__fmul_rn(__uint_as_float(magnitude << 13), 5.192296858534828e33f));
  return __uint_as_float(sign | (magnitude < 0x7c00 ? finite : magnitude << 13 | INFINITY_32));
}

// Rounds to nearest, ties to even.
template <class Element>
__device__ __forceinline__ Element nearest(float x);
template <>
__device__ __forceinline__ f32 nearest<f32>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 nearest<bf16>(float x) {
  const u32 bits = __float_as_uint(x), up = bits + 0x7fff + (bits >> 16 & 1);
  return {(u16)(x == x ? up >> 16 : NAN_16)};
}
template <>
__device__ __forceinline__ f16 nearest<f16>(float x) {
  const u32 bits = __float_as_uint(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > INFINITY_32) return {(u16)NAN_16};
  // Below 2^-14 a multiple of 2^-24: what 0.5 has as the unit of its last place.
  const u32 small = __float_as_uint(__fadd_rn(__uint_as_float(magnitude), 0.5f)) - 0x3f000000;
  const u32 normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
  const u32 rounded = magnitude < 0x38800000 ? small : normal < 0x7c00 ? normal : 0x7c00;
  return {(u16)(sign | rounded)};
}

// Rounds up or down so that the mean over all `random` is x: in bf16 by the upper 16 bits of it, in f16 by all 32 (exactly so
// above 2^-32; below, by 2^-56 at most off).
template <class Element>
__device__ __forceinline__ Element stochastic(float x, u32 random);
template <>
__device__ __forceinline__ bf16 stochastic<bf16>(float x, u32 random) {
  const u32 up = __float_as_uint(x) + (random >> 16);
  return {(u16)(x == x ? up >> 16 : NAN_16)};
}
template <>
__device__ __forceinline__ f16 stochastic<f16>(float x, u32 random) {
  const u32 bits = __float_as_uint(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > INFINITY_32) return {(u16)NAN_16};
  if (magnitude >= 0x47800000) return {(u16)(sign | 0x7c00)};
  const u32 exponent = magnitude >> 23;
  const u32 significand = exponent == 0 ? magnitude : (magnitude & 0x7fffff) | 0x800000;
  const u32 dropped = exponent >= 113 ? 13 : 126 - (exponent == 0 ? 1 : exponent);  // bits of it
  const u32 kept = dropped < 24 ? significand >> dropped : 0;
  // What is dropped, in units of 2^-32 of the last place that is kept.
  const u32 fraction = dropped <= 32 ? significand << (32 - dropped) : dropped < 56 ? significand >> (dropped - 32) : 0;
  const u32 whole = exponent >= 113 ? (exponent - 113) << 10 : 0;
  return {(u16)(sign | (whole + kept + (fraction > random ? 1 : 0)))};
}

constexpr u32 VECTOR = 4;  // elements of one access, whatever their type: whole sectors for all streams of a mixed step

template <class Element>
struct alignas(VECTOR * sizeof(Element)) Vector {
  Element value[VECTOR];
};

// Whether element 0 lies where vectors may begin.
template <class Element>
__device__ __forceinline__ bool fits_vectors(u64 address) {
  return address % sizeof(Vector<Element>) == 0;
}

// `count` elements from `at` on, counted from element 0. WHOLE: it is known that there are four, and that vectors fit.
template <class Element, bool WHOLE>
__device__ __forceinline__ Vector<Element> load_elements(u64 address, u64 at, u32 count) {
  if (WHOLE || (count == VECTOR && fits_vectors<Element>(address))) {
    return load_element((const Vector<Element>*)((const Element*)address + at));
  }
  Vector<Element> v = {};
#pragma unroll
  for (u32 e = 0; e < VECTOR; e++) {
    if (e < count) v.value[e] = load_element((const Element*)address + at + e);
  }
  return v;
}
template <class Element, bool WHOLE>
__device__ __forceinline__ void store_elements(u64 address, u64 at, u32 count, const Vector<Element>& v) {
  if (WHOLE || (count == VECTOR && fits_vectors<Element>(address))) {
    store_element((Vector<Element>*)((Element*)address + at), v);
    return;
  }
#pragma unroll
  for (u32 e = 0; e < VECTOR; e++) {
    if (e < count) store_element((Element*)address + at + e, v.value[e]);
  }
}
