// Parameters for evaluation, where a rule has others than for training: a walk shows them in the engine's parameters, and another
// one puts those for training back, bit for bit. Where a master has them anyway nothing is put aside; else they are, in a
// stream of their own, the last of S, as f32 or, where the parameter has 16 bits without anything beside it, in its type.
//
// Reads what the rule says and writes the engine's parameter (2 or 4 B), and 2 or 4 B aside; the way back reads 2 or 4 B and
// writes the parameter.
#pragma once
#include "variant.cuh"

template <class R, class S>
constexpr bool HAS_ASIDE = S::COUNT > R::STREAMS;

template <class R, class S>
struct Show : Functor {
  static constexpr u32 LOADS = R::SHOW_LOADS | PARAM, STORES = PARAM | (HAS_ASIDE<R, S> ? 1u << R::STREAMS : 0);
  static constexpr bool OF_UPDATE = false;
  typename R::Scalars scalars;
  const Step& step;
  u64 t;
  u32 cohort;

  __device__ __forceinline__ Show(const Step& s, u64 now, u32 of) : scalars(scalars_of<R>(s, now, of)), step(s), t(now), cohort(of) {}
  template <class Row>
  __device__ __forceinline__ void before_tensor(const Row& tensor) {
    take_cohort<R>(step, t, tensor, cohort, scalars);
  }
  __device__ __forceinline__ void element(float (&x)[S::COUNT]) const {
    float(&own)[R::STREAMS] = first_of<R::STREAMS>(x);
    if constexpr (HAS_ASIDE<R, S>) x[R::STREAMS] = x[PARAM_AT];
    R::start(own, scalars);
    x[PARAM_AT] = R::show(own, scalars);
  }
};

template <class R, class S>
struct PutBack : Functor {
  static constexpr u32 LOADS = HAS_ASIDE<R, S> ? 1u << R::STREAMS : PARAM, STORES = PARAM;
  static constexpr bool OF_UPDATE = false;

  __device__ __forceinline__ void element(float (&x)[S::COUNT]) const {
    if constexpr (HAS_ASIDE<R, S>) x[PARAM_AT] = x[R::STREAMS];
  }
};

// Shows what `tile` holds, or puts it back.
template <class R, class S, u32 N>
__device__ __forceinline__ void show_with(const Step& step, u64 t, const Tile& tile, bool show) {
  using Shown = typename OfShown<S>::Type;
  if (show) {
    Show<R, Shown> functor(step, t, tile.cohort);
    walk<Shown, N>(step, tile.tensor, tile.place, functor);
  } else {
    PutBack<R, Shown> functor;
    walk<Shown, N>(step, tile.tensor, tile.place, functor);
  }
}

// Whether an update must not be made now, since parameters for evaluation are shown; raises the flag that says so.
__device__ __forceinline__ bool refused_while_shown(const Step& step) {
  if (load_relaxed(&step.control->shown) == 0) return false;
  if (blockIdx.x == 0 && threadIdx.x == 0) store_row(&step.control->called_while_shown, 1u);
  return true;
}
