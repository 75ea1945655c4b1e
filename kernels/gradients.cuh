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
#include "tables.cuh"

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

// What is durable or handed in, as it is before this launch: loaded together, so that no load waits for another.
struct Facts {
  Control control;
  Settings settings;
  float found_inf, inv_scale, norm_square;
};

__device__ __forceinline__ float handed_in(const float* p, float without) { return p == nullptr ? without : load_row(p); }

// All of it: for the commit and what is noted of a call.
__device__ __forceinline__ Facts all_facts(const Step& step) {
  return {load_row(step.control), load_row(step.settings), handed_in(step.found_inf, 0.0f),
          handed_in(step.inv_scale, 1.0f), handed_in(step.norm_square, 0.0f)};
}

// What decides whether this call only lets gradients accumulate: the rest stays 0.
template <class O>
__device__ __forceinline__ Facts facts_of_calls(const Step& step) {
  Facts f = {};
  if constexpr (O::ACCUMULATE) {
    const Control* control = step.control;
    const Settings* settings = step.settings;
    f.settings.accumulate = load_row(&settings->accumulate);
    f.control.micro_step = load_row(&control->micro_step);
  }
  return f;
}

// What decides about a walk: the rest stays 0.
template <class O>
__device__ __forceinline__ Facts facts_of_walk(const Step& step) {
  Facts f = facts_of_calls<O>(step);
  const Control* control = step.control;
  const Settings* settings = step.settings;
  f.found_inf = handed_in(step.found_inf, 0.0f);
  if constexpr (!O::ACCUMULATE && O::FACTOR == Factor::computed) f.control.micro_step = load_row(&control->micro_step);
  if constexpr (O::SKIP && O::NORM != Norm::none) f.control.found = load_row(&control->found);
  if constexpr (O::SKIP || O::FACTOR == Factor::computed) f.norm_square = handed_in(step.norm_square, 0.0f);
  if constexpr (O::FACTOR == Factor::stored) f.control.factor = load_row(&control->factor);
  if constexpr (O::FACTOR == Factor::computed) {
    f.settings.mean = load_row(&settings->mean);
    f.settings.max_norm = load_row(&settings->max_norm);
    f.control.loss_scale = load_row(&control->loss_scale);
    f.inv_scale = handed_in(step.inv_scale, 1.0f);
  }
  if constexpr (O::CLIP == Clip::value) f.settings.limit = load_row(&settings->limit);
  return f;
}

__device__ __forceinline__ double unscale(const Step& step, const Facts& f) {
  return step.inv_scale != nullptr ? (double)f.inv_scale : 1.0 / (double)f.control.loss_scale;
}

// How many calls the update of this call is made of, if it makes one.
__device__ __forceinline__ u32 calls(const Facts& f) { return f.control.micro_step + 1; }

// What the engine hands in makes of this step, where nothing is known of all gradients: the same in every thread.
template <class O>
__device__ __forceinline__ Verdict computed(const Step& step, const Facts& f) {
  Verdict v = judge<O>(f.settings, sqrt((double)f.norm_square), unscale(step, f), calls(f));
  if (step.norm_square == nullptr) v.norm = 0.0;  // also where the scale is not finite
  return v;
}

template <class O>
__device__ __forceinline__ GradientScalars gradient_scalars(const Step& step, const Facts& f) {
  GradientScalars s = {1.0f, f.settings.limit};
  if constexpr (O::FACTOR == Factor::stored) s.factor = f.control.factor;
  if constexpr (O::FACTOR == Factor::computed) s.factor = computed<O>(step, f).factor;
  return s;
}

// Whether a gradient of this step is not finite: as the engine says, and with the policy to skip as the norm shows.
template <class O>
__device__ __forceinline__ bool found(const Facts& f) {
  bool found = !(f.found_inf == 0.0f);
  if constexpr (O::SKIP && O::NORM != Norm::none) found = found || f.control.found != 0;
  if constexpr (O::SKIP) found = found || !is_finite(f.norm_square);
  return found;
}

template <class O>
__device__ __forceinline__ bool skips(const Step& step, const Facts& f) {
  return (O::SKIP || step.found_inf != nullptr) && found<O>(f);
}

// Whether the flag is raised once this call, an update or a skipped one, is done.
template <class O>
__device__ __forceinline__ bool raises(const Step& step, const Facts& f) {
  const u32 raise_after = f.settings.raise_after;
  const bool now = raise_after != 0 && skips<O>(step, f) && f.control.skipped_in_a_row + 1 >= raise_after;
  return now || f.control.raised != 0;
}

// Whether this call is one of those before an update that only let gradients accumulate.
template <class O>
__device__ __forceinline__ bool accumulates(const Facts& f) {
  if constexpr (!O::ACCUMULATE) return false;
  return calls(f) < f.settings.accumulate;
}
