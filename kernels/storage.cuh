// How a stream is stored. A rule sees f32 alone: loading widens, storing rounds. src/precision/form.rs says how many bytes each
// moves. A storage T is a type, and Storage<T> has
//   SECOND       whether it has a second address
//   RANDOM       whether stores need random bits
//   TOGETHER     vectors of a thread that are stored together: two where a warp's are a block
//   fits(at)     whether vectors fit its addresses
//   load<WHOLE>(at, place, count, x), store<WHOLE>(at, place, count, x, random, largest)
// `largest`: the bits of the largest magnitude of what is stored together by the warp.
// An f32, a bf16 and an f16 are storages: rounded to nearest, ties to even.
#pragma once
#include "codes.cuh"
#include "elements.cuh"

// Where a stream lies: its elements, and what belongs to them.
struct Lies {
  u64 first, second;
};

using Four = float[VECTOR];
using FourRandom = u32[VECTOR];

// Sixteen bits, rounded stochastically.
template <class Element>
struct Stochastic {};
// The same for what divides: what is not 0 is not rounded to 0.
template <class T>
struct Denominator {};
// A parameter of 16 bits, rounded to nearest, beside an f32 master, which is what is updated.
template <class Element>
struct Master {};
// A bf16 parameter, rounded to nearest with ties away from zero, beside the 16 bits that are left: together the f32 value.
struct Remainder {};
// 8-bit codes beside a scale for each block.
template <Codes CODES>
struct EightBit {};

// What most storages are.
struct Plain {
  static constexpr bool SECOND = false, RANDOM = false;
  static constexpr u32 TOGETHER = 1;
};

template <class T>
struct Storage : Plain {
  static __device__ __forceinline__ bool fits(const Lies& at) { return fits_vectors<T>(at.first); }

  template <bool WHOLE>
  static __device__ __forceinline__ void load(const Lies& at, u64 place, u32 count, Four& x) {
    const Vector<T> v = load_elements<T, WHOLE>(at.first, place, count);
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) x[e] = widen(v.value[e]);
  }
  static __device__ __forceinline__ T rounded(float x, u32) { return nearest<T>(x); }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom&, u32) {
    Vector<T> v;
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) v.value[e] = nearest<T>(x[e]);
    store_elements<T, WHOLE>(at.first, place, count, v);
  }
};

template <class Element>
struct Storage<Stochastic<Element>> : Storage<Element> {
  static constexpr bool RANDOM = true;

  static __device__ __forceinline__ Element rounded(float x, u32 random) { return stochastic<Element>(x, random); }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom& random, u32) {
    Vector<Element> v;
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) v.value[e] = rounded(x[e], random[e]);
    store_elements<Element, WHOLE>(at.first, place, count, v);
  }
};

template <class T>
struct Storage<Denominator<T>> : Storage<T> {
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom& random, u32) {
    using Element = decltype(Storage<T>::rounded(0.0f, 0));
    Vector<Element> v;
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) {
      v.value[e] = Storage<T>::rounded(x[e], random[e]);
      if (v.value[e].bits == 0 && x[e] != 0.0f) v.value[e].bits = 1;
    }
    store_elements<Element, WHOLE>(at.first, place, count, v);
  }
};

template <class Element>
struct Storage<Master<Element>> : Plain {
  static constexpr bool SECOND = true;

  static __device__ __forceinline__ bool fits(const Lies& at) { return fits_vectors<Element>(at.first) & fits_vectors<f32>(at.second); }
  template <bool WHOLE>
  static __device__ __forceinline__ void load(const Lies& at, u64 place, u32 count, Four& x) {
    Storage<f32>::load<WHOLE>({at.second, 0}, place, count, x);
  }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom& random, u32) {
    Storage<f32>::store<WHOLE>({at.second, 0}, place, count, x, random, 0);
    Storage<Element>::template store<WHOLE>(at, place, count, x, random, 0);
  }
};

template <>
struct Storage<Remainder> : Plain {
  static constexpr bool SECOND = true;

  static __device__ __forceinline__ bool fits(const Lies& at) { return fits_vectors<bf16>(at.first) & fits_vectors<bf16>(at.second); }
  template <bool WHOLE>
  static __device__ __forceinline__ void load(const Lies& at, u64 place, u32 count, Four& x) {
    const Vector<bf16> upper = load_elements<bf16, WHOLE>(at.first, place, count);
    const Vector<u16> lower = load_elements<u16, WHOLE>(at.second, place, count);
#pragma unroll
    // What is left has a sign: the upper half was rounded up where it is negative.
    for (u32 e = 0; e < VECTOR; e++) {
      x[e] = __uint_as_float(((u32)upper.value[e].bits << 16) + (u32)(int)(short)lower.value[e]);
    }
  }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom&, u32) {
    Vector<bf16> upper;
    Vector<u16> lower;
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) {
      const u32 bits = x[e] == x[e] ? __float_as_uint(x[e]) : NAN_16 << 16;
      upper.value[e].bits = (u16)((bits + 0x8000) >> 16);
      lower.value[e] = (u16)bits;
    }
    store_elements<bf16, WHOLE>(at.first, place, count, upper);
    store_elements<u16, WHOLE>(at.second, place, count, lower);
  }
};

template <Codes CODES>
struct Storage<EightBit<CODES>> {
  static constexpr bool SECOND = true, RANDOM = true;
  static constexpr u32 TOGETHER = CODES_BLOCK / (WARP * VECTOR);

  static __device__ __forceinline__ bool fits(const Lies& at) { return fits_vectors<u8>(at.first); }
  template <bool WHOLE>
  static __device__ __forceinline__ void load(const Lies& at, u64 place, u32 count, Four& x) {
    if (!WHOLE && count == 0) return;
    const Vector<u8> v = load_elements<u8, WHOLE>(at.first, place, count);
    const CodeTable<CODES> table(load_element((const float*)at.second + place / CODES_BLOCK));
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) x[e] = table.value(v.value[e]);
  }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom& random, u32 largest) {
    if (!WHOLE && count == 0) return;
    const float scale = CodeTable<CODES>::scale(largest);
    Vector<u8> v = {};
    if (scale == scale) {
      const CodeTable<CODES> table(scale);
#pragma unroll
      for (u32 e = 0; e < VECTOR; e++) v.value[e] = (u8)table.code(x[e], random[e]);
    }
    store_elements<u8, WHOLE>(at.first, place, count, v);
    if (place % CODES_BLOCK == 0) store_element((float*)at.second + place / CODES_BLOCK, scale);
  }
};

// What is made anew of a parameter that the engine has written: a master that is its value, a remainder of nothing.
template <class T>
struct Remade {};

template <class Element>
struct Storage<Remade<Master<Element>>> : Storage<Master<Element>> {
  template <bool WHOLE>
  static __device__ __forceinline__ void load(const Lies& at, u64 place, u32 count, Four& x) {
    Storage<Element>::template load<WHOLE>(at, place, count, x);
  }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom& random, u32) {
    Storage<f32>::store<WHOLE>({at.second, 0}, place, count, x, random, 0);
  }
};

template <>
struct Storage<Remade<Remainder>> : Storage<Remainder> {
  template <bool WHOLE>
  static __device__ __forceinline__ void load(const Lies&, u64, u32, Four&) {}
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four&, const FourRandom&, u32) {
    store_elements<u16, WHOLE>(at.second, place, count, Vector<u16>{});
  }
};
