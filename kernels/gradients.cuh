// What happens to gradients before a rule sees them: unscale, clip, average, look for infinities and NaNs. Gradients are
// never written back, unless they are zeroed after use.
//
// In f64, rounded once: factor = clip * unscale * share, and the norm is that of the unscaled gradients. The share is 1, or for
// a mean over accumulated calls 1 / calls, of which this update is made: an edit may have changed how many it takes.
//   torch: clip = min(1, max_norm / (norm + 1e-6))    optax: clip = norm < max_norm ? 1 : max_norm / norm
// Per element, in f32: g = g * factor; clip by value: g = min(max(g, -limit), limit), which keeps a NaN.
// Peers: torch.nn.utils.clip_grad_norm_, torch.amp.GradScaler, optax.clip_by_global_norm.
#pragma once
#include "math.cuh"
#include "memory.cuh"
#include "state.cuh"

enum class Norm { none, two, one, max };
enum class Clip { none, torch, optax, value };
// Where an update's factor comes from: there is none, `Control` has it, or it follows from what the engine hands in.
enum class Factor { none, stored, computed };

// What `generated.cuh` says of one optimizer.
template <Norm NORM_, Clip CLIP_, Factor FACTOR_, bool SKIP_, bool DYNAMIC_, bool ACCUMULATE_, bool ZERO_>
struct GradientOptions {
  static constexpr Norm NORM = NORM_;            // what the norm launch computes; none: there is no norm launch
  static constexpr Clip CLIP = CLIP_;
  static constexpr Factor FACTOR = FACTOR_;
  static constexpr bool SKIP = SKIP_;            // an update with a gradient that is not finite is skipped
  static constexpr bool DYNAMIC = DYNAMIC_;      // the loss scale moves
  static constexpr bool ACCUMULATE = ACCUMULATE_;
  static constexpr bool ZERO = ZERO_;
};

// Scalars of the gradients' own, beside those of the rule.
struct GradientScalars {
  float factor, limit;
};

__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) <= 3.40282346638528859812e38f; }

template <class O>
__device__ __forceinline__ float prepare(float g, const GradientScalars& s) {
  if constexpr (O::FACTOR != Factor::none) g = __fmul_rn(g, s.factor);
  if constexpr (O::CLIP == Clip::value) {
    if (g < -s.limit) g = -s.limit;
    if (g > s.limit) g = s.limit;
  }
  return g;
}

struct Verdict {
  double norm, clip;
  float factor;
};

// What follows from the norm of the scaled gradients for an update that is made of `calls` calls.
template <class O>
__device__ __forceinline__ Verdict judge(const Settings& settings, double scaled_norm, double unscale, u32 calls) {
  const double share = settings.mean ? 1.0 / (double)calls : 1.0;
  Verdict v = {scaled_norm * unscale * share, 1.0, 0.0f};
  if constexpr (O::CLIP == Clip::torch) {
    const double ratio = settings.max_norm / (v.norm + 1e-6);
    v.clip = ratio > 1.0 ? 1.0 : ratio;
  }
  if constexpr (O::CLIP == Clip::optax) v.clip = v.norm < settings.max_norm ? 1.0 : settings.max_norm / v.norm;
  v.factor = (float)(v.clip * unscale * share);
  return v;
}

__device__ __forceinline__ double unscale(const Step& step, const Control* control) {
  if (step.inv_scale != nullptr) return (double)load_row(step.inv_scale);
  return 1.0 / (double)load_row(&control->loss_scale);
}

// How many calls the update of this call is made of, if it makes one.
__device__ __forceinline__ u32 calls(const Control* control) { return load_row(&control->micro_step) + 1; }

// What the engine hands in makes of this step, where nothing is known of all gradients: the same in every thread.
template <class O>
__device__ __forceinline__ Verdict computed(const Step& step) {
  const double norm = step.norm_square == nullptr ? 0.0 : sqrt((double)load_row(step.norm_square));
  Verdict v = judge<O>(load_row(step.settings), norm, unscale(step, step.control), calls(step.control));
  if (step.norm_square == nullptr) v.norm = 0.0;  // also where the scale is not finite
  return v;
}

template <class O>
__device__ __forceinline__ GradientScalars gradient_scalars(const Step& step) {
  GradientScalars s = {1.0f, 0.0f};
  if constexpr (O::FACTOR == Factor::stored) s.factor = load_row(&step.control->factor);
  if constexpr (O::FACTOR == Factor::computed) s.factor = computed<O>(step).factor;
  if constexpr (O::CLIP == Clip::value) s.limit = load_row(&step.settings->limit);
  return s;
}

// Whether a gradient of this step is not finite: as the engine says, and with the policy to skip as the norm shows.
template <class O>
__device__ __forceinline__ bool found(const Step& step) {
  bool found = step.found_inf != nullptr && !(load_row(step.found_inf) == 0.0f);
  if constexpr (O::SKIP && O::NORM != Norm::none) found = found || load_row(&step.control->found) != 0;
  if constexpr (O::SKIP) found = found || (step.norm_square != nullptr && !is_finite(load_row(step.norm_square)));
  return found;
}

template <class O>
__device__ __forceinline__ bool skips(const Step& step) {
  return (O::SKIP || step.found_inf != nullptr) && found<O>(step);
}

// Whether the flag is raised once this call, an update or a skipped one, is done.
template <class O>
__device__ __forceinline__ bool raises(const Step& step) {
  const Control* control = step.control;
  const u32 raise_after = load_row(&step.settings->raise_after);
  const bool now = raise_after != 0 && skips<O>(step) && load_row(&control->skipped_in_a_row) + 1 >= raise_after;
  return now || load_row(&control->raised) != 0;
}

// Whether this call is one of those before an update that only let gradients accumulate.
template <class O>
__device__ __forceinline__ bool accumulates(const Step& step) {
  if constexpr (!O::ACCUMULATE) return false;
  return calls(step.control) < load_row(&step.settings->accumulate);
}
