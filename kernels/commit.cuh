// The only code that changes durable state: one thread of the last block of an update, after every other block has read
// all it needs.
#pragma once
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
  if constexpr (O::FACTOR == Factor::stored && O::NORM == Norm::none) {
    store_row(&control->factor, judge<O>(settings, 0.0, 1.0 / (double)(float)scale).factor);
  }
}

template <class O>
__device__ __forceinline__ void commit(const Step& step) {
  Control* control = step.control;
  if constexpr (O::ACCUMULATE) {
    const u32 micro_step = accumulates<O>(step) ? load_row(&control->micro_step) + 1 : 0;
    store_row(&control->micro_step, micro_step);
    if (micro_step != 0) return;
  }
  if constexpr (O::FACTOR == Factor::computed) {
    const Verdict verdict = computed<O>(step);
    store_row(&control->norm, verdict.norm);
    store_row(&control->clip_factor, (float)verdict.clip);
  }
  if constexpr (O::DYNAMIC) commit_loss_scale<O>(step, found<O>(step));
  if (skips<O>(step)) {
    const u32 in_a_row = load_row(&control->skipped_in_a_row) + 1;
    const u32 raise_after = load_row(&step.settings->raise_after);
    store_row(&control->skipped_in_a_row, in_a_row);
    if (raise_after != 0 && in_a_row >= raise_after) store_row(&control->raised, 1u);
    store_relaxed(&control->skipped, load_relaxed(&control->skipped) + 1);
    return;
  }
  const u64 t = load_relaxed(&control->t) + 1;
  const u64 stop_at = load_row(&step.settings->stop_at);
  store_row(&control->skipped_in_a_row, 0u);
  if (stop_at != 0 && t >= stop_at) store_row(&control->stop, 1u);
  store_relaxed(&control->t, t);
  store_relaxed(&control->progress, load_relaxed(&control->progress) + load_relaxed(&control->increment));
}
