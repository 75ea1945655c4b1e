// Elements as bits: how vectors of them move.
#pragma once
#include "memory.cuh"
#include "types.cuh"

constexpr u32 VECTOR = 4;  // elements of one access, whatever their type: whole sectors for all streams of a mixed step

// Four elements of one, two or four bytes.
template <class Bits>
struct alignas(VECTOR * sizeof(Bits)) Vector {
  static constexpr u32 PER_WORD = 4 / sizeof(Bits);
  u32 word[sizeof(Bits)];

  __device__ __forceinline__ u32 bits(u32 e) const {
    const u32 shifted = word[e / PER_WORD] >> e % PER_WORD * 8 * sizeof(Bits);
    return PER_WORD == 1 ? shifted : shifted & ((1u << 8 * sizeof(Bits) % 32) - 1);
  }
  __device__ __forceinline__ void put(u32 e, u32 bits) { word[e / PER_WORD] |= bits << e % PER_WORD * 8 * sizeof(Bits); }
};

// Whether element 0 lies where vectors may begin.
template <class Bits>
__device__ __forceinline__ bool fits_vectors(u64 address) {
  return address % sizeof(Vector<Bits>) == 0;
}

// `count` elements from `at` on, counted from element 0. WHOLE: it is known that there are four, and that vectors fit.
template <class Bits, bool WHOLE>
__device__ __forceinline__ Vector<Bits> load_elements(u64 address, u64 at, u32 count) {
  const Vector<Bits>* const whole = (const Vector<Bits>*)((const Bits*)address + at);
  if constexpr (WHOLE) {
    return load_element(whole);
  } else {
    if (count == VECTOR && fits_vectors<Bits>(address)) return load_element(whole);
    Vector<Bits> v = {};
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) {
      if (e < count) v.put(e, load_element((const Bits*)address + at + e));
    }
    return v;
  }
}
template <class Bits, bool WHOLE>
__device__ __forceinline__ void store_elements(u64 address, u64 at, u32 count, const Vector<Bits>& v) {
  Vector<Bits>* const whole = (Vector<Bits>*)((Bits*)address + at);
  if constexpr (WHOLE) {
    store_element(whole, v);
  } else if (count == VECTOR && fits_vectors<Bits>(address)) {
    store_element(whole, v);
  } else {
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) {
      if (e < count) store_element((Bits*)address + at + e, (Bits)v.bits(e));
    }
  }
}
