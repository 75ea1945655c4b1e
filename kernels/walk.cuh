// The walk: a block takes a tile of one tensor, or a pack of small tensors, a warp each, and a functor sees every element.
//
// A tile is 8 spans, a warp each; a span is N vectors a thread. Positions count from element 0, never from an address: a
// stream whose address does not fit vectors is alone accessed element by element. On the main path, a whole span whose
// addresses all fit, all loads come before the first store; else a vector at a time.
// A functor F over the streams S is a Functor and has
//   F::LOADS, F::STORES                 sets of streams
//   element(float (&x)[S::COUNT])       one element of each stream, by place
// and where it needs them
//   F::STORES_ONCE, stores_once()       streams that are stored if it says so
//   before_tensor(place), after_span(at), after_tensor(tensor)
//                                       for what it loads and gathers; all lanes of a warp come there together
//
// Reads 16 B a tile and 16 B + 8 B a stream for each tensor in it, beside the elements.
#pragma once
#include "streams.cuh"
#include "tables.cuh"

constexpr u32 THREADS = 256;  // with 2 vectors a thread 98.4 % of the copy, as 512 and 1,024 have; 124 M elements, H100
constexpr u32 WARPS = THREADS / WARP;

constexpr u32 APART = WARP * VECTOR;  // elements between two vectors of a thread

// What most functors need nothing of.
struct Functor {
  static constexpr u32 STORES_ONCE = 0;

  __device__ __forceinline__ bool stores_once() const { return false; }
  __device__ __forceinline__ void before_tensor(u32) {}
  __device__ __forceinline__ void after_span(u64) {}
  template <class Row>
  __device__ __forceinline__ void after_tensor(const Row&) {}
};

// One element of each stream, of those that are in registers as vectors.
template <class S, class F>
__device__ __forceinline__ void apply(F& functor, float (&x)[S::COUNT][VECTOR], u32 e) {
  float element[S::COUNT];
#pragma unroll
  for (u32 i = 0; i < S::COUNT; i++) element[i] = x[i][e];
  functor.element(element);
#pragma unroll
  for (u32 i = 0; i < S::COUNT; i++) x[i][e] = element[i];
}

// Whether `len` elements from `at` on are there, and every stream that F accesses fits vectors.
template <class S, class F>
__device__ __forceinline__ bool is_whole(const Tensor<S::COUNT>& tensor, u64 at, u32 len) {
  bool whole = at + len <= tensor.len;
  for_each_stream<S, F::LOADS | F::STORES | F::STORES_ONCE>([&](auto place) {
    constexpr u32 I = decltype(place)::AT;
    whole = whole & fits_vectors<typename S::template At<I>>(tensor.address[I]);
  });
  return whole;
}

// N vectors of one thread, the first one at element `at`.
template <class S, u32 N, class F>
__device__ __forceinline__ void walk_vectors(const Tensor<S::COUNT>& tensor, u64 at, F& functor) {
  float x[N][S::COUNT][VECTOR] = {};
#pragma unroll
  for (u32 n = 0; n < N; n++) {
    for_each_stream<S, F::LOADS>([&](auto place) {
      constexpr u32 I = decltype(place)::AT;
      load_vector<typename S::template At<I>>(tensor.address[I], at + n * APART, x[n][I]);
    });
  }
#pragma unroll
  for (u32 n = 0; n < N; n++) {
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) apply<S>(functor, x[n], e);
    for_each_stream<S, F::STORES>([&](auto place) {
      constexpr u32 I = decltype(place)::AT;
      store_vector<typename S::template At<I>>(tensor.address[I], at + n * APART, x[n][I]);
    });
    for_each_stream<S, F::STORES_ONCE>([&](auto place) {
      constexpr u32 I = decltype(place)::AT;
      if (functor.stores_once()) store_vector<typename S::template At<I>>(tensor.address[I], at + n * APART, x[n][I]);
    });
  }
}

// What there is of one vector, at element `at`, by streams that fit vectors or not.
template <class S, class F>
__device__ __forceinline__ void walk_some(const Tensor<S::COUNT>& tensor, u64 at, F& functor) {
  const u64 left = at < tensor.len ? tensor.len - at : 0;
  const u32 count = left < VECTOR ? (u32)left : VECTOR;
  float x[S::COUNT][VECTOR] = {};
  for_each_stream<S, F::LOADS>([&](auto place) {
    constexpr u32 I = decltype(place)::AT;
    using Element = typename S::template At<I>;
    if (count == VECTOR && fits_vectors<Element>(tensor.address[I])) {
      load_vector<Element>(tensor.address[I], at, x[I]);
    } else {
      load_some<Element>(tensor.address[I], at, count, x[I]);
    }
  });
#pragma unroll
  for (u32 e = 0; e < VECTOR; e++) {
    if (e < count) apply<S>(functor, x, e);
  }
  for_each_stream<S, F::STORES | F::STORES_ONCE>([&](auto place) {
    constexpr u32 I = decltype(place)::AT;
    using Element = typename S::template At<I>;
    if constexpr ((F::STORES_ONCE >> I & 1) != 0) {
      if (!functor.stores_once()) return;
    }
    if (count == VECTOR && fits_vectors<Element>(tensor.address[I])) {
      store_vector<Element>(tensor.address[I], at, x[I]);
    } else {
      store_some<Element>(tensor.address[I], at, count, x[I]);
    }
  });
}

// Tile `place` of the tensor in row `first`, or the pack that begins there, by a block. A span is TURNS times N vectors a thread,
// N of them in flight.
template <class S, u32 N, u32 TURNS = 1, class F>
__device__ __forceinline__ void walk(const Step& step, u32 first, u32 place, F& functor) {
  constexpr u32 SPAN = TURNS * N * APART;
  const u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP * VECTOR;
  const bool pack = (place & PACK) != 0;
  const u32 end = first + (pack ? place & ~PACK : 1);
#pragma unroll 1
  for (u32 i = first + (pack ? warp : 0); i < end; i += WARPS) {
    const auto tensor = load_row(row_at<Tensor<S::COUNT>>(step.tensors, step.tensor_bytes, i));
    functor.before_tensor(tensor.place);
    u64 at = pack ? 0 : ((u64)place * WARPS + warp) * SPAN;
    if (!pack && is_whole<S, F>(tensor, at, SPAN)) {
#pragma unroll 1
      for (u32 turn = 0; turn < TURNS; turn++) walk_vectors<S, N>(tensor, at + lane + turn * N * APART, functor);
      functor.after_span(at);
      return;
    }
    const u64 stop = pack || tensor.len < at + SPAN ? tensor.len : at + SPAN;
#pragma unroll 1
    while (at < stop) {
      walk_some<S>(tensor, at + lane, functor);
      at += APART;
      if (at % SPAN == 0 || at >= stop) functor.after_span(at - 1);
    }
    functor.after_tensor(tensor);
  }
}
