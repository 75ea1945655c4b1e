// What an update reads and writes: streams, one element of each for every parameter. A rule sees them as f32, by place:
// parameter, gradient, then its states in its own order. How an element is stored is the stream's affair, not the rule's:
// loading widens, storing rounds.
#pragma once
#include "memory.cuh"
#include "types.cuh"

// Places of the streams that every rule has.
constexpr u32 PARAM_AT = 0, GRAD_AT = 1;

// Functors name sets of streams, a bit for each place: what they load and what they store.
constexpr u32 PARAM = 1u << PARAM_AT, GRAD = 1u << GRAD_AT;

using f32 = float;

template <u32 I, class First, class... Rest>
struct Nth {
  using Type = typename Nth<I - 1, Rest...>::Type;
};
template <class First, class... Rest>
struct Nth<0, First, Rest...> {
  using Type = First;
};

// The elements of one variant's streams, in the order of the addresses in its tensors' rows.
template <class... All>
struct Streams {
  static constexpr u32 COUNT = sizeof...(All);
  template <u32 I>
  using At = typename Nth<I, All...>::Type;
};

// The streams that are there whatever the rule.
using Gradient = Streams<f32, f32>;

// Calls visit(Place<I>) for each place of the streams that is in the set PLACES.
template <u32 I>
struct Place {
  static constexpr u32 AT = I;
};
template <class S, u32 PLACES, u32 I = 0, class Visit>
__device__ __forceinline__ void for_each_stream(Visit visit) {
  if constexpr (I < S::COUNT) {
    if constexpr ((PLACES >> I & 1) != 0) visit(Place<I>{});
    for_each_stream<S, PLACES, I + 1>(visit);
  }
}

constexpr u32 VECTOR = 4;  // elements of one access, whatever their type: whole sectors for all streams of a mixed step

template <class Element>
struct alignas(VECTOR * sizeof(Element)) Vector {
  Element value[VECTOR];
};

__device__ __forceinline__ float widen(f32 x) { return x; }
template <class Element>
__device__ __forceinline__ Element narrow(float x) {
  return x;
}

// Whether element 0 lies where vectors may begin.
template <class Element>
__device__ __forceinline__ bool fits_vectors(u64 address) {
  return address % sizeof(Vector<Element>) == 0;
}

// Elements of a stream from `at` on, counted from element 0: a whole vector, or the first `count` of one.
template <class Element>
__device__ __forceinline__ void load_vector(u64 address, u64 at, float (&x)[VECTOR]) {
  const Vector<Element> v = load_element((const Vector<Element>*)((const Element*)address + at));
#pragma unroll
  for (u32 e = 0; e < VECTOR; e++) x[e] = widen(v.value[e]);
}
template <class Element>
__device__ __forceinline__ void load_some(u64 address, u64 at, u32 count, float (&x)[VECTOR]) {
#pragma unroll
  for (u32 e = 0; e < VECTOR; e++) {
    if (e < count) x[e] = widen(load_element((const Element*)address + at + e));
  }
}
template <class Element>
__device__ __forceinline__ void store_vector(u64 address, u64 at, const float (&x)[VECTOR]) {
  Vector<Element> v;
#pragma unroll
  for (u32 e = 0; e < VECTOR; e++) v.value[e] = narrow<Element>(x[e]);
  store_element((Vector<Element>*)((Element*)address + at), v);
}
template <class Element>
__device__ __forceinline__ void store_some(u64 address, u64 at, u32 count, const float (&x)[VECTOR]) {
#pragma unroll
  for (u32 e = 0; e < VECTOR; e++) {
    if (e < count) store_element((Element*)address + at + e, narrow<Element>(x[e]));
  }
}
