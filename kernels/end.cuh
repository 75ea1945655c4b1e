// When training is to end, besides a number of updates: the largest rate of all cohorts falls below a floor, or every plateau
// wanted to lower its scale once more and could not. One block looks whenever a half was evaluated.
//
// Reads 4 B per cohort and 12 B per metric rule, writes 8 B; nothing per parameter.
#pragma once
#include "memory.cuh"
#include "tables.cuh"

// What holds for a half.
enum End : u64 { below = 1, given_up = 2 };

// From one half to the next, or from what a half was to what it is: a rate that was below the floor, as in a warm-up, does not
// fall below it.
__device__ __forceinline__ bool is_end(u64 before, u64 after) {
  return (after & End::given_up) || (!(before & End::below) && (after & End::below));
}

// Notes what holds for half `t & 1`. By one warp; thread 0 knows it then.
__device__ __forceinline__ u64 look_for_end(const Step& step, u64 t) {
  __syncthreads();  // one warp reads the records and the states of all threads
  if (threadIdx.x >= WARP) return 0;
  const Settings settings = load_row(step.settings);
  const Counts counts = load_row(step.counts);
  const MetricState* states = step.metric_states + (t & 1) * step.metric_capacity;

  bool below = settings.stop_below > 0.0f, given_up = settings.stop_on_plateau != 0;
  for (u32 i = threadIdx.x; below && i < counts.cohorts; i += WARP) {
    below = load_row(record_at<const float>(step, t, i)) < settings.stop_below;  // the first of a record is the rate
  }
  for (u32 i = threadIdx.x; given_up && i < counts.metrics; i += WARP) {
    const MetricRule* rule = step.metrics + i;
    const MetricState* state = states + i;
    given_up = load_row(&rule->greedy) != 0 || load_row(&state->at_min) != 0;
  }
  below = __all_sync(0xffffffffu, below);
  given_up = __all_sync(0xffffffffu, given_up);
  const u64 end = (below ? End::below : 0) | (given_up ? End::given_up : 0);
  if (threadIdx.x == 0) store_relaxed(&step.control->end[t & 1], end);
  return end;
}

// The flags are sticky: they stay up until an edit lowers them. The host learns of them without asking the driver.
__device__ __forceinline__ void raise_stop(const Step& step) {
  store_row(&step.control->stop, 1u);
  if (step.host_flags != nullptr) store_word(step.host_flags, 1);
}
__device__ __forceinline__ void raise_skips(const Step& step) {
  store_row(&step.control->raised, 1u);
  if (step.host_flags != nullptr) store_word(step.host_flags + 1, 1);
}

// A launch came after another optimizer had taken this one's place.
__device__ __forceinline__ void raise_retired(const Step& step) {
  if (step.host_flags != nullptr) store_word(step.host_flags + 2, 1);
}

// All flags as they are, by one thread.
__device__ __forceinline__ void tell_host(const Step& step) {
  if (step.host_flags == nullptr) return;
  store_word(step.host_flags, load_row(&step.control->stop));
  store_word(step.host_flags + 1, load_row(&step.control->raised));
}

// Between two updates: the half in force was evaluated anew. `before`: what held for it.
template <class F>
__device__ __forceinline__ void stop_if_end(const Step& step, u64 t, u64 before) {
  if constexpr (F::STOPS) {
    const bool ends = is_end(before, look_for_end(step, t));
    if (threadIdx.x == 0 && ends) raise_stop(step);
  }
}
