// Evaluates every schedule for one step and resolves the scalars of every cohort. Runs in one block, ahead of use.
//
// Reads 12 B per scalar and its constants, writes 8 B per scalar and 64 B per cohort; nothing per parameter.
#pragma once
#include "generated.cuh"  // run_program, resolve_variant: written by src/plan/emit.rs for one optimizer
#include "memory.cuh"
#include "state.cuh"

// What depends on metrics goes on to the next step as it is: only an observation changes it.
template <u32 THREADS>
__device__ __forceinline__ void carry_metrics(const Step& step, u64 t) {
  const MetricState* from = step.metric_states + (t & 1) * step.metric_count;
  MetricState* to = step.metric_states + (~t & 1) * step.metric_count;
  for (u32 i = threadIdx.x; i < step.metric_count; i += THREADS) store_row(to + i, load_row(from + i));
  const double* window = step.windows + (t & 1) * step.window_count;
  double* next = step.windows + (~t & 1) * step.window_count;
  for (u32 i = threadIdx.x; i < step.window_count; i += THREADS) store_row(next + i, load_row(window + i));
}

// Fills half `t & 1` with what update `t` needs, at which the progress clock shows `progress`.
template <u32 THREADS>
__device__ __forceinline__ void evaluate(const Step& step, u64 t, u64 progress) {
  double* values = step.values + (t & 1) * step.scalar_count;
  Record* records = step.records + (t & 1) * step.cohort_count;
  const u32 lane = threadIdx.x % WARP;

  for (u32 i = threadIdx.x / WARP; i < step.bundle_count; i += THREADS / WARP) {
    const Bundle bundle = load_row(step.bundles + i);
    if (lane < bundle.count) {
      const u32 scalar = bundle.first + lane;
      const u64* constants = step.constants + load_row(step.scalars + scalar);
      store_row(values + scalar, run_program(bundle.program, constants, t, progress));
    }
  }
  __syncthreads();  // cohorts read the values of all warps, and the metrics' scales that other threads carried

  for (u32 i = threadIdx.x; i < step.cohort_count; i += THREADS) {
    const Cohort cohort = load_row(step.cohorts + i);
    const Group group = load_row(step.groups + cohort.group);
    double h[MAX_HYPERPARAMETERS];
#pragma unroll
    for (u32 k = 0; k < MAX_HYPERPARAMETERS; k++) h[k] = load_row(values + group.scalar[k]);
    if (group.metric != 0) {
      const MetricState* state = step.metric_states + ((t & 1) * step.metric_count + group.metric - 1);
      h[0] = h[0] * load_row(&state->scale);
    }
    store_row(records + i, resolve_variant(group.variant, h, t + cohort.base));
  }
}
