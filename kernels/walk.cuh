// The walk: a block takes a tile of one tensor, or a pack of small tensors, a warp each, and a functor sees every element.
//
// A tile is 8 spans, a warp each; a span is N vectors a thread. Positions count from element 0, never from an address: a
// stream whose address does not fit vectors is alone accessed element by element. On the main path, a whole span whose
// addresses all fit, all loads come before the first store; else a vector at a time, or as many as are stored together.
// A functor F over the streams S is a Functor and has
//   F::LOADS, F::STORES                 sets of streams
//   element(float (&x)[S::COUNT])       one element of each stream, by place
// and where it needs them
//   F::STORES_ONCE, stores_once()       streams that are stored if it says so
//   dice                                what stores that need random bits throw
//   before_tensor(tensor), after_span(at), after_tensor(tensor)
//                                       for what it loads and gathers; all lanes of a warp come there together
//   OF_UPDATE, rest(tensor)             whether it leaves tensors alone that rest in this update, and what it does instead
//
// Reads 16 B a tile and 32 B + 8 B an address for each tensor in it, beside the elements.
#pragma once
#include "rests.cuh"
#include "streams.cuh"

constexpr u32 THREADS = 256;  // with 2 vectors a thread 98.4 % of the copy, as 512 and 1,024 have; 124 M elements, H100
constexpr u32 WARPS = THREADS / WARP;

constexpr u32 APART = WARP * VECTOR;  // elements between two vectors of a thread

// What most functors need nothing of.
struct Functor {
  static constexpr u32 STORES_ONCE = 0;
  static constexpr bool OF_UPDATE = true;

  __device__ __forceinline__ bool stores_once() const { return false; }
  template <class Row>
  __device__ __forceinline__ void rest(const Row&) {}
  template <class Row>
  __device__ __forceinline__ void before_tensor(const Row&) {}
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
__device__ __forceinline__ bool is_whole(const Tensor<S::ADDRESSES>& tensor, u64 at, u32 len) {
  bool whole = at + len <= tensor.len;
  for_each_stream<S, F::LOADS | F::STORES | F::STORES_ONCE>([&](auto place) {
    constexpr u32 I = decltype(place)::AT;
    whole = whole & S::template At<I>::fits(S::template lies<I>(tensor));
  });
  return whole;
}

// How many of a vector's elements are there, at element `at`.
__device__ __forceinline__ u32 count_at(u64 len, u64 at) {
  const u64 left = at < len ? len - at : 0;
  return left < VECTOR ? (u32)left : VECTOR;
}

// The larger of `largest` and the magnitudes of the first `count` elements, as bits.
__device__ __forceinline__ u32 larger_of(u32 largest, u32 count, const float (&x)[VECTOR]) {
#pragma unroll
  for (u32 e = 0; e < VECTOR; e++) {
    const u32 magnitude = __float_as_uint(x[e]) & 0x7fffffff;
    if (e < count && magnitude > largest) largest = magnitude;
  }
  return largest;
}

// What the stream at place I needs to be stored, if anything: a throw serves two streams.
template <class S, u32 PLACES, u32 I, class F>
__device__ __forceinline__ void throw_for(const F& functor, u32 tensor, u64 at, Throw& into) {
  constexpr u32 FIRST = I - I % 2;
  if constexpr (is_random<S, PLACES & 1u << I>() && (I == FIRST || !is_random<S, PLACES & 1u << FIRST>())) {
    into = thrown(functor.dice, tensor, I / 2, at);
  }
}

// Stores the streams in PLACES of one vector, at element `at`.
template <class S, u32 PLACES, bool WHOLE, class F>
__device__ __forceinline__ void store_streams(const Tensor<S::ADDRESSES>& tensor, u64 at, const float (&x)[S::COUNT][VECTOR],
                                              const u32 (&largest)[S::COUNT], const F& functor) {
  const u32 count = WHOLE ? VECTOR : count_at(tensor.len, at);
  Throw thrown_of[(S::COUNT + 1) / 2] = {};
  for_each_stream<S, PLACES>([&](auto place) {
    constexpr u32 I = decltype(place)::AT;
    throw_for<S, PLACES, I>(functor, tensor.number, at, thrown_of[I / 2]);
    FourRandom random;
#pragma unroll
    for (u32 e = 0; e < VECTOR; e++) random[e] = random_of<I>(thrown_of[I / 2], e);
    S::template At<I>::template store<WHOLE>(S::template lies<I>(tensor), at, count, x[I], random, largest[I]);
  });
}

// The streams in PLACES of one vector, as they lie in memory.
template <class S, u32 PLACES, bool WHOLE>
__device__ __forceinline__ void load_streams(const Tensor<S::ADDRESSES>& tensor, u64 at, Raw (&raw)[S::COUNT]) {
  const u32 count = WHOLE ? VECTOR : count_at(tensor.len, at);
  for_each_stream<S, PLACES>([&](auto place) {
    constexpr u32 I = decltype(place)::AT;
    raw[I] = S::template At<I>::template load<WHOLE>(S::template lies<I>(tensor), at, count);
  });
}

// What F makes of the first `count` elements of a vector.
template <class S, class F>
__device__ __forceinline__ void compute(F& functor, u32 count, const Raw (&raw)[S::COUNT], float (&x)[S::COUNT][VECTOR]) {
  for_each_stream<S, F::LOADS>([&](auto place) {
    constexpr u32 I = decltype(place)::AT;
    S::template At<I>::widen(raw[I], x[I]);
  });
#pragma unroll
  for (u32 e = 0; e < VECTOR; e++) {
    if (e < count) apply<S>(functor, x, e);
  }
}

// Stores the streams in PLACES that F stores, and those that it stores if it says so.
template <class S, u32 PLACES, bool WHOLE, class F>
__device__ __forceinline__ void store_of(const Tensor<S::ADDRESSES>& tensor, u64 at, const float (&x)[S::COUNT][VECTOR],
                                         const u32 (&largest)[S::COUNT], const F& functor) {
  store_streams<S, PLACES & F::STORES, WHOLE>(tensor, at, x, largest, functor);
  if constexpr ((PLACES & F::STORES_ONCE) != 0) {
    if (functor.stores_once()) store_streams<S, PLACES & F::STORES_ONCE, WHOLE>(tensor, at, x, largest, functor);
  }
}

// The scales of the blocks that F stores, after all of the warp has loaded what was there.
template <class S, class F>
__device__ __forceinline__ void store_scales(const Tensor<S::ADDRESSES>& tensor, u64 at, const u32 (&largest)[S::COUNT], const F& functor) {
  for_each_stream<S, blocks_of<S, F::STORES | F::STORES_ONCE>()>([&](auto place) {
    constexpr u32 I = decltype(place)::AT;
    if ((F::STORES >> I & 1) != 0 || functor.stores_once()) {
      S::template At<I>::store_scale(S::template lies<I>(tensor), at, largest[I]);
    }
  });
}

// N whole vectors of one thread, the first one at element `at`.
template <class S, u32 N, class F>
__device__ __forceinline__ void walk_vectors(const Tensor<S::ADDRESSES>& tensor, u64 at, F& functor) {
  constexpr u32 BLOCKS = blocks_of<S, F::STORES | F::STORES_ONCE>();
  constexpr u32 TOGETHER = BLOCKS == 0 ? 1 : CODES_BLOCK / APART;
  static_assert(N % TOGETHER == 0, "whole blocks");
  Raw raw[N][S::COUNT] = {};
#pragma unroll
  for (u32 n = 0; n < N; n++) load_streams<S, F::LOADS, true>(tensor, at + n * APART, raw[n]);
#pragma unroll
  for (u32 n = 0; n < N; n += TOGETHER) {
    const u64 here = at + n * APART;
    float x[TOGETHER][S::COUNT][VECTOR] = {};
    u32 largest[S::COUNT] = {};
#pragma unroll
    for (u32 k = 0; k < TOGETHER; k++) {
      compute<S>(functor, VECTOR, raw[n + k], x[k]);
      store_of<S, ~BLOCKS, true>(tensor, here + k * APART, x[k], largest, functor);
    }
    // A block of codes waits for all of it.
    for_each_stream<S, BLOCKS>([&](auto place) {
      constexpr u32 I = decltype(place)::AT;
#pragma unroll
      for (u32 k = 0; k < TOGETHER; k++) largest[I] = larger_of(largest[I], VECTOR, x[k][I]);
      largest[I] = largest_of_warp(largest[I]);
    });
#pragma unroll
    for (u32 k = 0; k < TOGETHER; k++) store_of<S, BLOCKS, true>(tensor, here + k * APART, x[k], largest, functor);
    store_scales<S>(tensor, here, largest, functor);
  }
}

// What there is of one vector of a thread, at element `at`, or of as many as make a block of codes: those are computed twice, first
// for the scale, since all at once take too many registers.
template <class S, class F>
__device__ __forceinline__ void walk_some(const Tensor<S::ADDRESSES>& tensor, u64 at, F& functor) {
  constexpr u32 BLOCKS = blocks_of<S, F::STORES | F::STORES_ONCE>();
  constexpr u32 TOGETHER = BLOCKS == 0 ? 1 : CODES_BLOCK / APART;
  u32 largest[S::COUNT] = {};
  if constexpr (BLOCKS != 0) {
#pragma unroll 1
    for (u32 k = 0; k < TOGETHER; k++) {
      Raw raw[S::COUNT] = {};
      float x[S::COUNT][VECTOR] = {};
      const u32 count = count_at(tensor.len, at + k * APART);
      load_streams<S, F::LOADS, false>(tensor, at + k * APART, raw);
      compute<S>(functor, count, raw, x);
      for_each_stream<S, BLOCKS>([&](auto place) {
        constexpr u32 I = decltype(place)::AT;
        largest[I] = larger_of(largest[I], count, x[I]);
      });
    }
    for_each_stream<S, BLOCKS>([&](auto place) { largest[decltype(place)::AT] = largest_of_warp(largest[decltype(place)::AT]); });
  }
#pragma unroll 1
  for (u32 k = 0; k < TOGETHER; k++) {
    Raw raw[S::COUNT] = {};
    float x[S::COUNT][VECTOR] = {};
    load_streams<S, F::LOADS, false>(tensor, at + k * APART, raw);
    compute<S>(functor, count_at(tensor.len, at + k * APART), raw, x);
    store_of<S, ~0u, false>(tensor, at + k * APART, x, largest, functor);
  }
  if constexpr (BLOCKS != 0) {
    __syncwarp();  // all lanes have loaded the former scales
    store_scales<S>(tensor, at, largest, functor);
  }
}

// Tile `place` of the tensor in row `first`, or the pack that begins there, by a block. A span is TURNS times N vectors a thread,
// N of them in flight.
template <class S, u32 N, u32 TURNS = 1, class F>
__device__ __forceinline__ void walk(const Step& step, u32 first, u32 place, F& functor) {
  constexpr u32 SPAN = TURNS * N * APART;
  constexpr u32 SOME = blocks_of<S, F::STORES | F::STORES_ONCE>() == 0 ? APART : CODES_BLOCK;
  const u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP * VECTOR;
  const bool pack = (place & PACK) != 0;
  place &= (1u << GRAD_TYPE) - 1;
  const u32 end = first + (pack ? place : 1);
#pragma unroll 1
  for (u32 i = first + (pack ? warp : 0); i < end; i += WARPS) {
    const auto tensor = load_tensor<S::ADDRESSES>(step, i);
    if constexpr (F::OF_UPDATE && MAY_REST) {
      if (rests(step, tensor, tensor.address[GRAD_AT])) {
        functor.rest(tensor);
        continue;
      }
    }
    functor.before_tensor(tensor);
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
      at += SOME;
      if (at % SPAN == 0 || at >= stop) functor.after_span(at - 1);
    }
    functor.after_tensor(tensor);
  }
}

// The same over gradients of type `type`, of those that this optimizer has: TYPES, a bit for each.
template <u32 TYPES, u32 N, class F>
__device__ __forceinline__ void walk_gradient(const Step& step, u32 first, u32 place, F& functor) {
  const u32 type = place >> GRAD_TYPE & 3;
  if constexpr ((TYPES & 1) != 0) {
    if (TYPES == 1 || type == 0) return walk<Gradient<f32>, N>(step, first, place, functor);
  }
  if constexpr ((TYPES & 2) != 0) {
    if (TYPES < 4 || type == 1) return walk<Gradient<bf16>, N>(step, first, place, functor);
  }
  if constexpr ((TYPES & 4) != 0) walk<Gradient<f16>, N>(step, first, place, functor);
}
