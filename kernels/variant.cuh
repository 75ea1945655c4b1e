// What generated.cuh does with a rule: resolve its scalars for a cohort, and apply it to a tile.
//
// A rule R is what src/rule/tape/cuda.rs writes. It offers
//   R::STREAMS, R::INPUTS, R::SCALARS          streams; what `resolve` is given; values of a record
//   R::TENSOR_SCALARS, R::SUMS, R::MEMORY      values of a tensor's own; sums; what it remembers
//   R::LOADS, R::STORES, R::STORES_ONCE        sets of streams that `apply` reads and writes, and that the first update writes
//   R::MEASURE_LOADS, R::SHOW_LOADS            that `measure` and `show` read
//   R::OF_COHORT, R::OF_GROUP, R::OF_TENSOR    sets of what it remembers, by whose it is
//   R::LATE                                    the values of a record that follow from sums
//   R::DECAY                                   which input is the weight decay; R::INPUTS if there is none
//   R::resolve(inputs, updates, known, r)      in f64, each scalar rounded once
//   R::scalars(record), R::take(s, own)        what elements go by, and of that the tensor's own
//   R::start(x, s), R::measure(x, s, sum), R::apply(x, s)
//                                              one element of each stream in f32
//   R::show(x, s)                              the parameter for evaluation, where there is another one
// Elements are independent: no order is visible in the results.
#pragma once
#include "gradients.cuh"
#include "walk.cuh"

// What a rule is resolved from besides its inputs. No array is empty.
template <class R>
struct Known {
  double memory[R::MEMORY + 1], sum[R::SUMS + 1], len[R::SUMS + 1];
};

template <class R>
struct Resolved {
  Record<R::SCALARS> record;
  Own<R::TENSOR_SCALARS> own;
  double memory[R::MEMORY + 1];
};

// What elements of the tensors of a cohort go by in update `t`.
template <class R>
__device__ __forceinline__ typename R::Scalars scalars_of(const Step& step, u64 t, u32 cohort) {
  return R::scalars(load_row(record_at<const Record<R::SCALARS>>(step, t, cohort)));
}

// The same for a tensor, where the tile says another cohort: tensors of a pack may have different ones, and a tensor may have got
// one of its own since.
template <class R>
__device__ __forceinline__ void take_cohort(const Step& step, u64 t, const TensorHead& tensor, u32& cohort,
                                            typename R::Scalars& scalars) {
  if constexpr (DYNAMIC) {
    if (tensor.cohort == cohort) return;
    cohort = tensor.cohort;
    scalars = scalars_of<R>(step, t, cohort);
  }
}

// Applies rule R to elements, after what options O do to their gradients.
template <class R, class O>
struct Update : Functor {
  static constexpr u32 LOADS = R::LOADS;
  static constexpr u32 STORES = R::STORES | (O::ZERO ? GRAD : 0);
  static constexpr u32 STORES_ONCE = R::STORES_ONCE;
  typename R::Scalars scalars;
  GradientScalars gradient;
  Dice dice;
  const Step& step;
  u64 t;
  u32 cohort;  // whose scalars these are

  __device__ __forceinline__ Update(const Step& s, u64 now, u32 of, const GradientScalars& g)
      : scalars(scalars_of<R>(s, now, of)), gradient(g), dice{s.seed, (u32)now}, step(s), t(now), cohort(of) {}

  __device__ __forceinline__ bool stores_once() const {
    if constexpr (STORES_ONCE != 0) return scalars.first != 0.0f;
    return false;
  }
  // With scalars that are at hand.
  __device__ __forceinline__ Update(const Step& s, const Record<R::SCALARS>& r, const GradientScalars& g)
      : scalars(R::scalars(r)), gradient(g), dice{}, step(s), t(0), cohort(NO_COHORT) {}
  template <class Row>
  __device__ __forceinline__ void before_tensor(const Row& tensor) {
    take_cohort<R>(step, t, tensor, cohort, scalars);
    if constexpr (R::TENSOR_SCALARS != 0) {
      const void* own = load_row(&step.rules->own);
      R::take(scalars, load_row(row_at<Own<R::TENSOR_SCALARS>>(own, OWN_BYTES, tensor.place)));
    }
  }
  template <u32 ALL>
  __device__ __forceinline__ void element(float (&all)[ALL]) const {
    float(&x)[R::STREAMS] = first_of<R::STREAMS>(all);
    x[GRAD_AT] = prepare<O>(x[GRAD_AT], gradient);
    R::start(x, scalars);
    R::apply(x, scalars);
    if constexpr (O::ZERO) x[GRAD_AT] = 0.0f;
  }
};

// Makes masters and remainders anew of the parameters beside them.
struct Remake : Functor {
  enum Which : u32 { own, all, added };  // those that are not the engine's, all, or of those that are not of tensors just added
  static constexpr u32 LOADS = 0, STORES = 0, STORES_ONCE = PARAM;
  static constexpr bool OF_UPDATE = false;
  u32 which;
  bool makes = false;

  __device__ __forceinline__ explicit Remake(u32 of) : which(of) {}
  template <class Row>
  __device__ __forceinline__ void before_tensor(const Row& tensor) {
    makes = which == all || ((tensor.flags & MASTER_GIVEN) == 0 && (which == own || (tensor.flags & JUST_ADDED) != 0));
  }
  __device__ __forceinline__ bool stores_once() const { return makes; }
  template <u32 COUNT>
  __device__ __forceinline__ void element(float (&)[COUNT]) const {}
};

// Zeroes gradients and leaves all else as it is: what a skipped update does if gradients are zeroed after use.
struct Zero : Functor {
  static constexpr u32 LOADS = 0, STORES = GRAD;

  __device__ __forceinline__ void element(float (&x)[Gradient<f32>::COUNT]) const { x[GRAD_AT] = 0.0f; }
};

// How many of N vectors of each stream a thread has in flight: one of six streams or more, since of two some would wait in local
// memory. A block of codes takes two.
template <class R, class S, u32 N>
constexpr u32 in_flight() {
  return R::STREAMS < 6 || blocks_of<S, R::STORES | R::STORES_ONCE>() != 0 ? N : 1;
}

// Updates what `tile` holds. Its record and its tensor's row are loaded side by side.
template <class R, class S, u32 N, class O>
__device__ __forceinline__ void update_with(const Step& step, u64 t, const Tile& tile, const GradientScalars& gradient) {
  Update<R, O> functor(step, t, tile.cohort, gradient);
  constexpr u32 AT_ONCE = in_flight<R, S, N>();
  walk<S, AT_ONCE, N / AT_ONCE>(step, tile.tensor, tile.place, functor);
}

// Makes masters or remainders of what `tile` holds anew.
template <class S, u32 N>
__device__ __forceinline__ void remake_with(const Step& step, const Tile& tile, u32 which) {
  Remake functor(which);
  walk<typename OfRemade<S>::Type, N>(step, tile.tensor, tile.place, functor);
}

// The k-th of the rows of half `t & 1` of a memory, which has `rows` of `width` values.
__device__ __forceinline__ double* memory_of(double* memory, u64 t, u32 rows, u32 k, u32 width) {
  return memory + ((t & 1) * rows + k) * (u64)width;
}

// What the set OF of what a rule remembers is at, `stride` apart.
template <u32 OF, u32 MEMORY>
__device__ __forceinline__ void load_memory(const double* from, u32 stride, double (&to)[MEMORY]) {
  u32 k = 0;
#pragma unroll
  for (u32 i = 0; i + 1 < MEMORY; i++) {
    if ((OF >> i & 1) != 0) to[i] = load_row(from + stride * k++);
  }
}
template <u32 OF, u32 MEMORY>
__device__ __forceinline__ void store_memory(double* to, u32 stride, const double (&from)[MEMORY]) {
  u32 k = 0;
#pragma unroll
  for (u32 i = 0; i + 1 < MEMORY; i++) {
    if ((OF >> i & 1) != 0) store_row(to + stride * k++, from[i]);
  }
}

// A cohort for update `t`.
struct CohortAt {
  u64 t;
  u32 index;
  Cohort row;
  u64 base;    // of its age
  const u32* inputs;  // u32[R::INPUTS], places in `values`; it and `values` may be staged
  const double* values;
  double lr_scale;  // of its metric rule
  Scales scales;

  // `of`: the same row, which may be staged.
  __device__ __forceinline__ CohortAt(u64 now, u32 place, const Cohort* of, u64 from, const double* all)
      : t(now), index(place), row(load_staged(of)), base(from), inputs((const u32*)(of + 1)), values(all), lr_scale(1.0), scales{1.0, 1.0} {
    if constexpr (SCALED) {
      const Scales* own = (const Scales*)(of + 1);
      scales = load_staged(own);
      inputs = (const u32*)(own + 1);
    }
  }
};

// Resolves a cohort's rule. What depends on sums that are not `known` is arbitrary.
template <class R>
__device__ __forceinline__ void resolve_rule(const Step& step, const CohortAt& at, u64 updates, Known<R>& known, Resolved<R>& r) {
  double in[R::INPUTS];
#pragma unroll
  for (u32 k = 0; k < R::INPUTS; k++) in[k] = load_staged(at.values + load_staged(at.inputs + k));
  in[0] = in[0] * at.lr_scale;
  if constexpr (SCALED) {
    in[0] = in[0] * at.scales.rate;
    if constexpr (R::DECAY < R::INPUTS) in[R::DECAY] = in[R::DECAY] * at.scales.decay;
  }
  if constexpr (R::OF_COHORT != 0) {
    const double* of = memory_of(load_row(&step.rules->cohort_memory), at.t, step.cohort_capacity, at.index, 2 * COHORT_MEMORY);
    load_memory<R::OF_COHORT>(of, 2, known.memory);
  }
  if constexpr (R::OF_GROUP != 0) {
    const double* of = memory_of(load_row(&step.rules->group_memory), at.t - 1, step.cohort_capacity, at.index, GROUP_MEMORY);
    load_memory<R::OF_GROUP>(of, 1, known.memory);
  }
  R::resolve(in, updates, known, r);
}

// Resolves the scalars of a cohort ahead of its update, and what it will remember.
template <class R>
__device__ __forceinline__ void resolve(const Step& step, const CohortAt& at) {
  Known<R> known = {};
  Resolved<R> r;
  resolve_rule<R>(step, at, at.t + at.base, known, r);
  store_row(record_at<Record<R::SCALARS>>(step, at.t, at.index), r.record);
  if constexpr (R::OF_COHORT != 0) {
    double* of = memory_of(load_row(&step.rules->cohort_memory), at.t, step.cohort_capacity, at.index, 2 * COHORT_MEMORY);
    store_memory<R::OF_COHORT>(of + 1, 2, r.memory);
  }
}
