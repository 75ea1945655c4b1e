// The only code that changes durable state (but for what state.cuh excepts): one thread of the last block of an update, after
// every other block has read all it needs. It knows what was durable before as `Facts`.
//
// **Who is the last.** Each block adds its arrival to the ticket, and above it the number of the call that it began with: the
// last block subtracts what it found, so the ticket is 0 between launches and a replay needs no reset. Launches of one
// optimizer must not overlap; where they do all the same, on two streams say, some commit finds that a block began with
// another call than its own, or that another commit came between, and raises a sticky flag. The count of arrivals survives
// that, so no later launch waits for a commit that never comes.
//
// **Why relaxed.** What the commit stores to, other blocks load relaxed, so no two accesses race; t decides the half that a
// block reads, and each block uses the t that it loaded first. That no block loads what this launch's commit stored is not
// the memory model's doing, since a relaxed ticket orders nothing: a block's values are used before its barrier, hence before
// its ticket is sent, and a load cannot be answered after it was used. Only what block 0 found of the end is read by another
// block, and has fences. A ticket with release and acquire would make each of a hundred thousand blocks wait for its stores.
#pragma once
#include "end.cuh"
#include "gradients.cuh"

// The next loss scale. Sources: torch.amp.GradScaler.update; DeepSpeed's DynamicLossScaler for the hysteresis, which lets so
// many skipped updates pass until the scale backs off. Growth stops at max_scale.
__device__ __forceinline__ float commit_loss_scale(const Step& step, const Facts& f, bool found) {
  const Settings& settings = f.settings;
  double scale = (double)f.control.loss_scale;
  u32 tracker = f.control.growth_tracker + 1, hysteresis = f.control.hysteresis;
  if (found) {
    tracker = 0;
    if (hysteresis > 1) {
      hysteresis -= 1;
    } else {
      if (settings.stop_at_min_scale && scale <= settings.min_scale) raise_stop(step);
      const double less = scale * settings.backoff;
      scale = less < settings.min_scale ? settings.min_scale : less;
    }
  } else {
    if (settings.consecutive_hysteresis) hysteresis = settings.hysteresis;
    if (tracker >= settings.growth_interval) {
      const double more = scale * settings.growth;
      scale = more > settings.max_scale ? settings.max_scale : more;
      tracker = 0;
      hysteresis = settings.hysteresis;
    }
  }
  store_row(&step.control->loss_scale, (float)scale);
  store_row(&step.control->growth_tracker, tracker);
  store_row(&step.control->hysteresis, hysteresis);
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
  if (is_end(load_relaxed(&control->end[t & 1]), load_relaxed(&control->end[~t & 1]))) raise_stop(step);
}

// `control`: that of the step.
template <class O, class F>
__device__ __forceinline__ void commit(const Step& step, Control* control, const Facts& f) {
  const u64 t = f.control.t;
  store_relaxed(&control->calls, f.control.calls + 1);
  if (accumulates<O>(step, f)) {
    commit_calls<O>(step, f, f.control.loss_scale, calls(step, f));
    return;
  }
  if constexpr (O::NORM != Norm::none) {
    if (f.control.norm_call != (u32)f.control.calls) store_row(&control->overlapped, 1u);  // it is of another call
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
    if (raised) raise_skips(step);
    store_row(&control->skipped_in_a_row, f.control.skipped_in_a_row + 1);
    store_relaxed(&control->skipped, f.control.skipped + 1);
    return;
  }
  if constexpr (F::STOPS) commit_end(step, t);
  store_row(&control->skipped_in_a_row, 0u);
  if (f.settings.stop_at != 0 && t + 1 >= f.settings.stop_at) raise_stop(step);
  store_relaxed(&control->t, t + 1);
  store_relaxed(&control->progress, f.control.progress + f.control.increment);
}

// Whether this block is the last one of a launch of `blocks` that began with call `call`, by one thread. `mixed`: some block
// began with another.
__device__ __forceinline__ bool arrives_last(u64* ticket, u32 call, u32 blocks, bool& mixed) {
  const u64 arrived = add_relaxed(ticket, (u64)call << 32 | 1) + ((u64)call << 32 | 1);
  const u32 arrivals = (u32)arrived;
  if (arrivals % blocks != 0) return false;
  mixed = (u32)(arrived >> 32) != call * arrivals;
  add_relaxed(ticket, 0 - arrived);
  return true;
}
