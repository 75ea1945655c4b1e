// What generated.cuh does with a rule: resolve its scalars for a cohort, and apply it to a tile.
//
// A rule R offers R::STREAMS, R::INPUTS and R::SCALARS, R::resolve(inputs, updates) in f64, R::Scalars with
// R::scalars(record), and R::apply(x, scalars) for one element of each stream in f32. Elements are independent: no order is
// visible in the results.
#pragma once
#include "gradients.cuh"
#include "walk.cuh"

// Applies rule R to elements, after what options O do to their gradients.
template <class R, class O>
struct Update {
  static constexpr u32 LOADS = PARAM | GRAD | STATE;
  static constexpr u32 STORES = PARAM | STATE | (O::ZERO ? GRAD : 0);
  typename R::Scalars scalars;
  GradientScalars gradient;

  __device__ __forceinline__ void element(float (&x)[R::STREAMS]) const {
    x[GRAD_AT] = prepare<O>(x[GRAD_AT], gradient);
    R::apply(x, scalars);
    if constexpr (O::ZERO) x[GRAD_AT] = 0.0f;
  }
  __device__ __forceinline__ void after_span(u64) const {}
  __device__ __forceinline__ void after_tensor(u32) const {}
};

// Zeroes gradients and leaves all else as it is: what a skipped update does if gradients are zeroed after use.
struct Zero {
  static constexpr u32 LOADS = 0, STORES = GRAD;

  __device__ __forceinline__ void element(float (&x)[Gradient::COUNT]) const { x[GRAD_AT] = 0.0f; }
  __device__ __forceinline__ void after_span(u64) const {}
  __device__ __forceinline__ void after_tensor(u32) const {}
};

// Updates what `tile` holds. Its record and its tensor's row are loaded side by side.
template <class R, class S, u32 N, class O>
__device__ __forceinline__ void update_with(const Step& step, u64 t, const Tile& tile, const GradientScalars& gradient) {
  static_assert(R::STREAMS == S::COUNT, "a type for each stream of the rule");
  const auto record = load_row(record_at<const Record<R::SCALARS>>(step, t, tile.cohort));
  const Update<R, O> functor = {R::scalars(record), gradient};
  walk<S, N>(step, tile.tensor, tile.place, functor);
}

// Resolves the scalars of a cohort that has had `updates` updates. `inputs`: u32[R::INPUTS], places in `values`.
template <class R>
__device__ __forceinline__ void resolve(const double* values, const u32* inputs, double lr_scale, u64 updates, void* record) {
  double in[R::INPUTS];
#pragma unroll
  for (u32 k = 0; k < R::INPUTS; k++) in[k] = load_staged(values + load_staged(inputs + k));
  in[0] = in[0] * lr_scale;
  store_row((Record<R::SCALARS>*)record, R::resolve(in, updates));
}
