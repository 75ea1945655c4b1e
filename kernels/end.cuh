// When training is to end, besides a number of updates: the largest rate of all cohorts falls below a floor, or every plateau
// wanted to lower its scale once more and could not. One block looks whenever a half was evaluated.
//
// Reads 4 B per cohort and 8 B per metric rule, writes 8 B; nothing per parameter.
#pragma once
#include "memory.cuh"
#include "state.cuh"

// What holds for a half.
enum End : u64 { below = 1, given_up = 2 };

// A rate that rises from below the floor, as in a warm-up, does not fall below it: `armed` says that one was not below.
__device__ __forceinline__ bool is_end(u64 end, bool armed) { return (end & End::given_up) || (armed && (end & End::below)); }

// Looks at half `t & 1`; true in thread 0 if its update must not be made. By one warp.
__device__ __forceinline__ bool look_for_end(const Step& step, u64 t) {
  __syncthreads();  // one warp reads the records and the states of all threads
  if (threadIdx.x >= WARP) return false;
  const Settings settings = load_row(step.settings);
  const Record* records = step.records + (t & 1) * step.cohort_count;
  const MetricState* states = step.metric_states + (t & 1) * step.metric_count;

  bool below = settings.stop_below > 0.0f, given_up = settings.stop_on_plateau != 0;
  for (u32 i = threadIdx.x; below && i < step.cohort_count; i += WARP) {
    below = load_row((const float*)(records + i)) < settings.stop_below;  // the first of a record is the rate
  }
  for (u32 i = threadIdx.x; given_up && i < step.metric_count; i += WARP) {
    const MetricRule* rule = step.metrics + i;
    const MetricState* state = states + i;
    given_up = load_row(&rule->greedy) != 0 || load_row(&state->at_min) != 0;
  }
  below = __all_sync(0xffffffffu, below);
  given_up = __all_sync(0xffffffffu, given_up);
  if (threadIdx.x != 0) return false;
  const u64 end = (below ? End::below : 0) | (given_up ? End::given_up : 0);
  store_relaxed(&step.control->end[t & 1], end);
  return is_end(end, load_row(&step.control->armed) != 0);
}

// Between two updates: the half in force was evaluated anew.
template <class F>
__device__ __forceinline__ void stop_if_end(const Step& step, u64 t) {
  if constexpr (F::STOPS) {
    if (look_for_end(step, t)) store_row(&step.control->stop, 1u);
  }
}
