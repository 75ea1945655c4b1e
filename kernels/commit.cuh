// The only code that changes durable state (but for what state.cuh excepts): one thread of the last block of an update, after
// every other block has read all it needs. It knows what was durable before as `Facts`.
#pragma once
#include "end.cuh"
#include "gradients.cuh"

// The next loss scale. Source: torch.amp.GradScaler.update; growth stops at max_scale.
__device__ __forceinline__ float commit_loss_scale(const Step& step, const Facts& f, bool found) {
  const Settings& settings = f.settings;
  double scale = (double)f.control.loss_scale;
  u32 tracker = f.control.growth_tracker + 1;
  if (found) {
    const double less = scale * settings.backoff;
    scale = less < settings.min_scale ? settings.min_scale : less;
    tracker = 0;
  } else if (tracker >= settings.growth_interval) {
    const double more = scale * settings.growth;
    scale = more > settings.max_scale ? settings.max_scale : more;
    tracker = 0;
  }
  store_row(&step.control->loss_scale, (float)scale);
  store_row(&step.control->growth_tracker, tracker);
  return (float)scale;
}

// The calls since the last update. Without a norm launch the factor of the next call is known now.
template <class O>
__device__ __forceinline__ void commit_calls(const Step& step, const Facts& f, float loss_scale, u32 micro_step) {
  if constexpr (O::ACCUMULATE) store_row(&step.control->micro_step, micro_step);
  if constexpr (O::FACTOR == Factor::stored && O::NORM == Norm::none && (O::DYNAMIC || O::ACCUMULATE)) {
    const double unscale = 1.0 / (double)loss_scale;
    store_row(&step.control->factor, judge<O>(f.settings, 0.0, unscale, micro_step + 1).factor);
  }
}

// Whether update `t` was the last one, as block 0 found.
__device__ __forceinline__ void commit_end(const Step& step, u64 t) {
  Control* control = step.control;
  if (is_end(load_relaxed(&control->end[t & 1]), load_relaxed(&control->end[~t & 1]))) store_row(&control->stop, 1u);
}

template <class O, class F>
__device__ __forceinline__ void commit(const Step& step, const Facts& f) {
  Control* control = step.control;
  const u64 t = f.control.t;
  if (accumulates<O>(f)) {
    commit_calls<O>(step, f, f.control.loss_scale, calls(f));
    return;
  }
  if constexpr (O::FACTOR == Factor::computed) {
    const Verdict verdict = computed<O>(step, f);
    store_row(&control->norm, verdict.norm);
    store_row(&control->clip_factor, (float)verdict.clip);
  }
  const bool skipped = skips<O>(step, f), raised = raises<O>(step, f);
  float loss_scale = f.control.loss_scale;
  if constexpr (O::DYNAMIC) loss_scale = commit_loss_scale(step, f, found<O>(f));
  commit_calls<O>(step, f, loss_scale, 0);
  if (skipped) {
    if (raised) store_row(&control->raised, 1u);
    store_row(&control->skipped_in_a_row, f.control.skipped_in_a_row + 1);
    store_relaxed(&control->skipped, f.control.skipped + 1);
    return;
  }
  if constexpr (F::STOPS) commit_end(step, t);
  store_row(&control->skipped_in_a_row, 0u);
  if (f.settings.stop_at != 0 && t + 1 >= f.settings.stop_at) store_row(&control->stop, 1u);
  store_relaxed(&control->t, t + 1);
  store_relaxed(&control->progress, f.control.progress + f.control.increment);
}
