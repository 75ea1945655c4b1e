// How a stream is stored. A rule sees f32 alone: loading widens, storing rounds. src/precision/form.rs says how many bytes each
// moves. A storage T is a type, and Storage<T> has
//   SECOND     whether it has a second address
//   RANDOM     whether stores need random bits
//   BLOCKS     whether elements are stored in blocks with a scale, a warp each
//   fits(at)   whether vectors fit its addresses
//   load<WHOLE>(at, place, count), widen(raw, x)
//   store<WHOLE>(at, place, count, x, random, largest), and of blocks store_scale(at, place, largest) after all loads
// `largest`: the bits of the largest magnitude of the block. What is loaded stays as it was until it is
// needed: it takes fewer registers.
//
// An f32, a bf16 and an f16 are storages: rounded to nearest, ties to even.
#pragma once
#include "codes.cuh"
#include "elements.cuh"
#include "halves.cuh"

using f32 = float;
struct bf16 {};
struct f16 {};
// Sixteen bits, rounded stochastically.
template <class Half>
struct Stochastic {};
// Of sixteen bits what divides: what is not 0 is not rounded to 0.
template <class T>
struct Denominator {};
// A parameter of sixteen bits, rounded to nearest, beside an f32 master, which is what is updated.
template <class Half>
struct Master {};
// A bf16 parameter, rounded to nearest with ties away from zero, beside the sixteen bits that are left: together the f32 value.
struct Remainder {};
// 8-bit codes beside a scale for each block.
template <Codes CODES>
struct EightBit {};
// What is made anew of a parameter that the engine has written, by stores alone, which read it: a master that is its value, a
// remainder of nothing.
template <class T>
struct Remade {};
// The engine's parameter alone is stored, to nearest: for evaluation, whatever lies beside it stays as it is.
template <class T>
struct Shown {};

// Where a stream lies: its elements, and what belongs to them.
struct Lies {
  u64 first, second;
};

// What was loaded of a vector.
struct Raw {
  u32 word[VECTOR];
};

using Four = float[VECTOR];
using FourRandom = u32[VECTOR];

template <bool SECOND_, bool RANDOM_ = false, bool BLOCKS_ = false>
struct Has {
  static constexpr bool SECOND = SECOND_, RANDOM = RANDOM_, BLOCKS = BLOCKS_;
};

template <class T>
struct Storage;

template <>
struct Storage<f32> : Has<false> {
  static __device__ __forceinline__ bool fits(const Lies& at) { return fits_vectors<u32>(at.first); }

  template <bool WHOLE>
  static __device__ __forceinline__ Raw load(const Lies& at, u64 place, u32 count) {
    const Vector<u32> v = load_elements<u32, WHOLE>(at.first, place, count);
    return {{v.word[0], v.word[1], v.word[2], v.word[3]}};
  }
  static __device__ __forceinline__ void widen(const Raw& raw, Four& x) {
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) x[e] = __uint_as_float(raw.word[e]);
  }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom&, u32) {
    Vector<u32> v;
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) v.word[e] = __float_as_uint(x[e]);
    store_elements<u32, WHOLE>(at.first, place, count, v);
  }
};

// The arithmetic of a type of sixteen bits, two elements a word.
template <class T>
struct Halves;
template <>
struct Halves<bf16> {
  static __device__ __forceinline__ float lower(u32 word) { return __uint_as_float(word << 16); }
  static __device__ __forceinline__ float upper(u32 word) { return __uint_as_float(word & 0xffff0000); }
  static __device__ __forceinline__ u32 rounded(float lower, float upper, u32, u32) { return bf16_pair_of(lower, upper); }
};
template <>
struct Halves<f16> {
  static __device__ __forceinline__ float lower(u32 word) { return float_of_f16(word & 0xffff); }
  static __device__ __forceinline__ float upper(u32 word) { return float_of_f16(word >> 16); }
  static __device__ __forceinline__ u32 rounded(float lower, float upper, u32, u32) { return f16_pair_of(lower, upper); }
};
template <>
struct Halves<Stochastic<bf16>> : Halves<bf16> {
  static __device__ __forceinline__ u32 rounded(float lower, float upper, u32 random, u32 other) {
    return bf16_up_or_down(lower, random) >> 16 | (bf16_up_or_down(upper, other) & 0xffff0000);
  }
};
template <>
struct Halves<Stochastic<f16>> : Halves<f16> {
  static __device__ __forceinline__ u32 rounded(float lower, float upper, u32 random, u32 other) {
    return f16_up_or_down(lower, random) | f16_up_or_down(upper, other) << 16;
  }
};
template <class T>
struct Halves<Denominator<T>> : Halves<T> {
  static __device__ __forceinline__ u32 rounded(float lower, float upper, u32 random, u32 other) {
    u32 word = Halves<T>::rounded(lower, upper, random, other);
    if ((word & 0xffff) == 0 && lower != 0.0f) word |= 1;
    if (word >> 16 == 0 && upper != 0.0f) word |= 0x10000;
    return word;
  }
};

template <class T, bool RANDOM>
struct Sixteen : Has<false, RANDOM> {
  static __device__ __forceinline__ bool fits(const Lies& at) { return fits_vectors<u16>(at.first); }

  template <bool WHOLE>
  static __device__ __forceinline__ Raw load(const Lies& at, u64 place, u32 count) {
    const Vector<u16> v = load_elements<u16, WHOLE>(at.first, place, count);
    return {{v.word[0], v.word[1]}};
  }
  static __device__ __forceinline__ void widen(const Raw& raw, Four& x) {
    x[0] = Halves<T>::lower(raw.word[0]);
    x[1] = Halves<T>::upper(raw.word[0]);
    x[2] = Halves<T>::lower(raw.word[1]);
    x[3] = Halves<T>::upper(raw.word[1]);
  }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom& random, u32) {
    const Vector<u16> v = {{Halves<T>::rounded(x[0], x[1], random[0], random[1]), Halves<T>::rounded(x[2], x[3], random[2], random[3])}};
    store_elements<u16, WHOLE>(at.first, place, count, v);
  }
};
template <>
struct Storage<bf16> : Sixteen<bf16, false> {};
template <>
struct Storage<f16> : Sixteen<f16, false> {};
template <class Half>
struct Storage<Stochastic<Half>> : Sixteen<Stochastic<Half>, true> {};
template <class T>
struct Storage<Denominator<T>> : Sixteen<Denominator<T>, Storage<T>::RANDOM> {};

template <class Half>
struct Storage<Master<Half>> : Has<true> {
  static __device__ __forceinline__ bool fits(const Lies& at) { return fits_vectors<u16>(at.first) & fits_vectors<u32>(at.second); }

  template <bool WHOLE>
  static __device__ __forceinline__ Raw load(const Lies& at, u64 place, u32 count) {
    return Storage<f32>::load<WHOLE>({at.second, 0}, place, count);
  }
  static __device__ __forceinline__ void widen(const Raw& raw, Four& x) { Storage<f32>::widen(raw, x); }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom& random, u32) {
    Storage<f32>::store<WHOLE>({at.second, 0}, place, count, x, random, 0);
    Storage<Half>::template store<WHOLE>(at, place, count, x, random, 0);
  }
};

template <class Half>
struct Storage<Remade<Master<Half>>> : Storage<Master<Half>> {
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four&, const FourRandom& random, u32) {
    Four x;
    Storage<Half>::widen(Storage<Half>::template load<WHOLE>(at, place, count), x);
    Storage<f32>::store<WHOLE>({at.second, 0}, place, count, x, random, 0);
  }
};

template <>
struct Storage<Remainder> : Has<true> {
  static __device__ __forceinline__ bool fits(const Lies& at) { return fits_vectors<u16>(at.first) & fits_vectors<u16>(at.second); }

  template <bool WHOLE>
  static __device__ __forceinline__ Raw load(const Lies& at, u64 place, u32 count) {
    const Vector<u16> upper = load_elements<u16, WHOLE>(at.first, place, count);
    const Vector<u16> lower = load_elements<u16, WHOLE>(at.second, place, count);
    return {{upper.word[0], upper.word[1], lower.word[0], lower.word[1]}};
  }
  // What is left has a sign: where it is negative, the upper half was rounded up.
  static __device__ __forceinline__ void widen(const Raw& raw, Four& x) {
#pragma unroll
    for (u32 e = 0; e < VECTOR; e += 2) {
      const u32 upper = raw.word[e / 2], lower = raw.word[2 + e / 2];
      x[e] = __uint_as_float((upper << 16) + (u32)(int)(short)(lower & 0xffff));
      x[e + 1] = __uint_as_float((upper & 0xffff0000) + (u32)((int)lower >> 16));
    }
  }
  static __device__ __forceinline__ void split(const Four& x, Vector<u16>& upper, Vector<u16>& lower) {
#pragma unroll
    for (u32 e = 0; e < VECTOR; e += 2) {
      const u32 first = x[e] == x[e] ? __float_as_uint(x[e]) : NAN_16 << 16;
      const u32 second = x[e + 1] == x[e + 1] ? __float_as_uint(x[e + 1]) : NAN_16 << 16;
      upper.word[e / 2] = (first + 0x8000) >> 16 | ((second + 0x8000) & 0xffff0000);
      lower.word[e / 2] = (first & 0xffff) | second << 16;
    }
  }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom&, u32) {
    Vector<u16> upper, lower;
    split(x, upper, lower);
    store_elements<u16, WHOLE>(at.first, place, count, upper);
    store_elements<u16, WHOLE>(at.second, place, count, lower);
  }
};

template <>
struct Storage<Remade<Remainder>> : Storage<Remainder> {
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four&, const FourRandom&, u32) {
    store_elements<u16, WHOLE>(at.second, place, count, Vector<u16>{});
  }
};

template <class T>
struct Storage<Shown<T>> : Storage<T> {};
template <class Half>
struct Storage<Shown<Stochastic<Half>>> : Storage<Half> {};
template <class Half>
struct Storage<Shown<Master<Half>>> : Storage<Master<Half>> {
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom& random, u32) {
    Storage<Half>::template store<WHOLE>(at, place, count, x, random, 0);
  }
};
template <>
struct Storage<Shown<Remainder>> : Storage<Remainder> {
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom&, u32) {
    Vector<u16> upper, lower;
    split(x, upper, lower);
    store_elements<u16, WHOLE>(at.first, place, count, upper);
  }
};

template <Codes CODES>
struct Storage<EightBit<CODES>> : Has<true, true, true> {
  using Table = CodeTable<CODES>;

  static __device__ __forceinline__ bool fits(const Lies& at) { return fits_vectors<u8>(at.first); }

  template <bool WHOLE>
  static __device__ __forceinline__ Raw load(const Lies& at, u64 place, u32 count) {
    if (!WHOLE && count == 0) return {};
    const u32 codes = load_elements<u8, WHOLE>(at.first, place, count).word[0];
    return {{codes, __float_as_uint(load_common((const float*)at.second + place / CODES_BLOCK))}};
  }
  static __device__ __forceinline__ void widen(const Raw& raw, Four& x) {
    const Table table(__uint_as_float(raw.word[1]));
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) x[e] = table.value(raw.word[0], e);
  }
  template <bool WHOLE>
  static __device__ __forceinline__ void store(const Lies& at, u64 place, u32 count, const Four& x, const FourRandom& random, u32 largest) {
    if (!WHOLE && count == 0) return;
    const float scale = Table::scale(largest);
    Vector<u8> v = {};
    if (scale == scale) {
      const Table table(scale);
#pragma unroll
      for (u32 e = 0; e < VECTOR; e++) v.put(e, table.code(x[e], random[e]));
    }
    store_elements<u8, WHOLE>(at.first, place, count, v);
  }
  static __device__ __forceinline__ void store_scale(const Lies& at, u64 place, u32 largest) {
    if (place % CODES_BLOCK == 0) store_element((float*)at.second + place / CODES_BLOCK, Table::scale(largest));
  }
};
