// Who rests in an update: tensors without a gradient, and those whose gate, a flag of the engine's, is down. Parameter, states,
// count and what a rule remembers of them stay as they are. Frozen tensors rest too, and have no tiles among those of updates.
//
// An age rests as a whole: the host sees to it that its tensors do so together. Reads 4 B an age, and 12 B more where it has a gate;
// for a tensor what is in its row, and where it has a gate 12 B more. Nothing where no tensor may rest.
#pragma once
#include "memory.cuh"
#include "tables.cuh"

constexpr bool MAY_REST = DYNAMIC || GATED;

// Whether the gate at `place`, counted from 1, is down.
__device__ __forceinline__ bool is_down(const Step& step, u32 place) {
  const float* flag = (const float*)load_row(step.gates + (place - 1));
  return load_row(flag) == 0.0f;
}

// Whether a tensor rests in this update.
__device__ __forceinline__ bool rests(const Step& step, const TensorHead& tensor, u64 grad) {
  if constexpr (DYNAMIC) {
    if (grad == 0) return true;
  }
  if constexpr (GATED) return tensor.gate != 0 && is_down(step, tensor.gate);
  return false;
}

// Whether the tensors of an age do.
__device__ __forceinline__ bool age_rests(const Step& step, u32 age) {
  if constexpr (MAY_REST) {
    const AgeFlags flags = load_row(step.age_flags + age);
    if (flags.absent()) return true;
    if constexpr (GATED) return flags.gate() != 0 && is_down(step, flags.gate());
  }
  return false;
}

// Whether those of a cohort do.
__device__ __forceinline__ bool cohort_rests(const Step& step, u32 cohort) {
  if constexpr (MAY_REST) return age_rests(step, load_row(row_at<Cohort>(step.cohorts, step.cohort_bytes, cohort)).age);
  return false;
}
