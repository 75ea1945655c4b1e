// The only code that changes durable state (but for what state.cuh excepts): one thread of the last block of an update, after
// every other block has read all it needs.
#pragma once
#include "end.cuh"
#include "gradients.cuh"

// The next loss scale. Source: torch.amp.GradScaler.update; growth stops at max_scale.
template <class O>
__device__ __forceinline__ void commit_loss_scale(const Step& step, bool found) {
  Control* control = step.control;
  const Settings settings = load_row(step.settings);
  double scale = (double)load_row(&control->loss_scale);
  u32 tracker = load_row(&control->growth_tracker) + 1;
  if (found) {
    const double less = scale * settings.backoff;
    scale = less < settings.min_scale ? settings.min_scale : less;
    tracker = 0;
  } else if (tracker >= settings.growth_interval) {
    const double more = scale * settings.growth;
    scale = more > settings.max_scale ? settings.max_scale : more;
    tracker = 0;
  }
  store_row(&control->loss_scale, (float)scale);
  store_row(&control->growth_tracker, tracker);
}

// Without a norm launch the factor of the next call is known now.
template <class O>
__device__ __forceinline__ void commit_factor(const Step& step) {
  if constexpr (O::FACTOR == Factor::stored && O::NORM == Norm::none && (O::DYNAMIC || O::ACCUMULATE)) {
    Control* control = step.control;
    const double unscale = 1.0 / (double)load_row(&control->loss_scale);
    store_row(&control->factor, judge<O>(load_row(step.settings), 0.0, unscale, calls(control)).factor);
  }
}

// Whether update `t` was the last one, as block 0 found.
__device__ __forceinline__ void commit_end(const Step& step, u64 t) {
  Control* control = step.control;
  if (is_end(load_relaxed(&control->end[t & 1]), load_relaxed(&control->end[~t & 1]))) store_row(&control->stop, 1u);
}

template <class O, class F>
__device__ __forceinline__ void commit(const Step& step) {
  Control* control = step.control;
  if constexpr (O::ACCUMULATE) {
    if (accumulates<O>(step)) {
      store_row(&control->micro_step, calls(control));
      commit_factor<O>(step);
      return;
    }
  }
  if constexpr (O::FACTOR == Factor::computed) {
    const Verdict verdict = computed<O>(step);
    store_row(&control->norm, verdict.norm);
    store_row(&control->clip_factor, (float)verdict.clip);
  }
  if constexpr (O::ACCUMULATE) store_row(&control->micro_step, 0u);
  if constexpr (O::DYNAMIC) commit_loss_scale<O>(step, found<O>(step));
  commit_factor<O>(step);
  if (skips<O>(step)) {
    if (raises<O>(step)) store_row(&control->raised, 1u);
    store_row(&control->skipped_in_a_row, load_row(&control->skipped_in_a_row) + 1);
    store_relaxed(&control->skipped, load_relaxed(&control->skipped) + 1);
    return;
  }
  if constexpr (F::STOPS) commit_end(step, load_relaxed(&control->t));
  const u64 t = load_relaxed(&control->t) + 1;
  const u64 stop_at = load_row(&step.settings->stop_at);
  store_row(&control->skipped_in_a_row, 0u);
  if (stop_at != 0 && t >= stop_at) store_row(&control->stop, 1u);
  store_relaxed(&control->t, t);
  store_relaxed(&control->progress, load_relaxed(&control->progress) + load_relaxed(&control->increment));
}
