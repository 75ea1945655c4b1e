// What an update reads and writes: streams, one element of each for every parameter. A rule sees them as f32, by place:
// parameter, gradient, then its states in its own order. How an element is stored is the stream's affair, not the rule's.
#pragma once
#include "random.cuh"
#include "storage.cuh"
#include "tables.cuh"

// Places of the streams that every rule has.
constexpr u32 PARAM_AT = 0, GRAD_AT = 1;

// Functors name sets of streams, a bit for each place: what they load and what they store.
constexpr u32 PARAM = 1u << PARAM_AT, GRAD = 1u << GRAD_AT;

template <u32 I, class First, class... Rest>
struct Nth {
  using Type = typename Nth<I - 1, Rest...>::Type;
};
template <class First, class... Rest>
struct Nth<0, First, Rest...> {
  using Type = First;
};

// How the streams of one variant are stored. Addresses in a tensor's row: the first one of each stream by place, then the
// second ones of those that have one.
template <class... All>
struct Streams {
  static constexpr u32 COUNT = sizeof...(All);
  static constexpr u32 ADDRESSES = COUNT + (0u + ... + Storage<All>::SECOND);
  template <u32 I>
  using At = Storage<typename Nth<I, All...>::Type>;

  // How many of the streams before place I have a second address.
  template <u32 I>
  static constexpr u32 seconds() {
    if constexpr (I == 0) {
      return 0;
    } else {
      return seconds<I - 1>() + At<I - 1>::SECOND;
    }
  }
  template <u32 I>
  static __device__ __forceinline__ Lies lies(const Tensor<ADDRESSES>& tensor) {
    if constexpr (At<I>::SECOND) {
      return {tensor.address[I], tensor.address[COUNT + seconds<I>()]};
    } else {
      return {tensor.address[I], 0};
    }
  }
};

// The same streams, of whose parameter what lies beside it is made anew.
template <class S>
struct OfRemade;
template <class T, class... Rest>
struct OfRemade<Streams<T, Rest...>> {
  using Type = Streams<Remade<T>, Rest...>;
};

// The same streams, of which the engine's parameter is stored alone.
template <class S>
struct OfShown;
template <class T, class... Rest>
struct OfShown<Streams<T, Rest...>> {
  using Type = Streams<Shown<T>, Rest...>;
};

// The tensor in row `i`. Its gradient's address is loaded beside the row.
template <u32 ADDRESSES>
__device__ __forceinline__ Tensor<ADDRESSES> load_tensor(const Step& step, u64 i) {
  const auto row = load_row(row_at<TensorRow<ADDRESSES>>(step.tensors, step.tensor_bytes, i));
  Tensor<ADDRESSES> tensor;
  static_cast<TensorHead&>(tensor) = row.head;
  tensor.address[PARAM_AT] = row.address[0];
  tensor.address[GRAD_AT] = load_row(step.grads + i);
#pragma unroll
  for (u32 k = 2; k < ADDRESSES; k++) tensor.address[k] = row.address[k - 1];
  return tensor;
}

// The first elements of `x`, one of each stream that a rule knows.
template <u32 COUNT, u32 ALL>
__device__ __forceinline__ float (&first_of(float (&x)[ALL]))[COUNT] {
  static_assert(COUNT <= ALL, "a type for each stream of the rule");
  return reinterpret_cast<float(&)[COUNT]>(x);
}

// The streams that are there whatever the rule. Its parameter is not touched by whoever walks over these.
template <class T>
using Gradient = Streams<f32, T>;

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

// Whether a store of some of these streams needs random bits.
template <class S, u32 PLACES, u32 I = 0>
constexpr bool is_random() {
  if constexpr (I == S::COUNT) {
    return false;
  } else {
    return ((PLACES >> I & 1) != 0 && S::template At<I>::RANDOM) || is_random<S, PLACES, I + 1>();
  }
}
// Those of PLACES that are stored in blocks, which have one scale.
template <class S, u32 PLACES, u32 I = 0>
constexpr u32 blocks_of() {
  if constexpr (I == S::COUNT) {
    return 0;
  } else {
    return (S::template At<I>::BLOCKS ? PLACES & 1u << I : 0) | blocks_of<S, PLACES, I + 1>();
  }
}
