// 8-bit codes in blocks of 256 elements, counted from element 0, with an f32 scale each: 1.016 B an element. A block belongs to
// one warp. src/precision/codes.rs is the same in Rust.
//
// A code is a float with three bits of fraction, shifted so that 0 is one of them: with S the scale and TOP the largest code,
// 127 beside a sign and else 255,
//   origin = S * 2^(-TOP/8), in steps of an eighth of each octave: the bits of S less TOP * 2^20
//   value(c) = float with the bits of `origin` plus c * 2^20, less `origin`
// S is the largest magnitude of the block, rounded up to three bits of fraction. Rounded stochastically, without bias:
//   |stored - x| < (|x| + origin) / 8,  origin < 1.5 * 2^(-TOP/8) * S: 2e-5 of the largest magnitude with a sign, 3e-10 without.
// No division and no root. A moment that falls by a thousandth a step is not stuck, as rounded to nearest it would be.
// A denominator that is not 0 gets no code 0. A block with an infinity or a NaN has a NaN as its scale, and is all NaN.
#pragma once
#include "halves.cuh"

constexpr u32 CODES_BLOCK = 256;

enum class Codes { any, not_negative, denominator };

template <Codes CODES>
struct CodeTable {
  static constexpr bool SIGNED = CODES == Codes::any;
  static constexpr u32 TOP = SIGNED ? 127 : 255;

  u32 base;      // the bits of `origin`
  float origin;  // NaN where the block is

  // Of an empty scale, 0, `base` is that of a negative number: code 0 is 0 all the same.
  __device__ __forceinline__ explicit CodeTable(float scale)
      : base(__float_as_uint(scale) - (TOP << 20)), origin(scale == scale ? __uint_as_float(base) : scale) {}

  // Of the code that is byte e of a word.
  __device__ __forceinline__ float value(u32 word, u32 e) const {
    const u32 steps = e < 3 ? word << (20 - 8 * e) : word >> 4;
    const float magnitude = __fsub_rn(__uint_as_float(base + (steps & TOP << 20)), origin);
    if constexpr (!SIGNED) return magnitude;
    return __uint_as_float(__float_as_uint(magnitude) | (word << (24 - 8 * e) & 0x80000000));
  }

  __device__ __forceinline__ u32 code(float x, u32 random) const {
    const float shifted = __fadd_rn(fabsf(x), origin);
    u32 code = (__float_as_uint(shifted) - base + (random >> 12)) >> 20;
    if (code > TOP) code = TOP;
    if (CODES == Codes::denominator && code == 0 && x != 0.0f) code = 1;
    return SIGNED ? code | (__float_as_uint(x) >> 24 & 0x80) : code;
  }

  // The scale of a block whose largest magnitude has these bits.
  static __device__ __forceinline__ float scale(u32 largest) {
    if (largest >= INFINITY_32) return __uint_as_float(0x7fffffff);
    if (largest == 0) return 0.0f;
    u32 steps = (largest + 0xfffff) >> 20;
    if (steps < TOP + 1) steps = TOP + 1;  // `origin` is above 0
    if (steps > 0x7f7) steps = 0x7f7;      // and the scale finite
    return __uint_as_float(steps << 20);
  }
};

// The larger bits of two magnitudes, of all lanes.
__device__ __forceinline__ u32 largest_of_warp(u32 mine) {
#pragma unroll
  for (u32 apart = WARP / 2; apart > 0; apart /= 2) {
    const u32 other = __shfl_xor_sync(0xffffffffu, mine, apart);
    mine = other > mine ? other : mine;
  }
  return mine;
}
