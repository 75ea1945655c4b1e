// Evaluates every scalar for one step and resolves the records of every cohort. Runs in one block, ahead of use.
//
// What does not depend on the step is loaded at once, into shared memory, while `t` is on its way: from then on no load waits
// for another. A warp takes a bundle, so bias corrections run beside the schedules. Tables that are too large are read where
// they lie.
//
// Reads 16 B per bundle, 8 B per scalar, 16 B + 4 B per input of each cohort (16 B more where tensors scale their rates), 16 B per age,
// and the constants; writes 8 B per scalar, 4 B per value of a record, and 8 B per age where tensors may rest; nothing per parameter.
#pragma once
#include "generated.cuh"  // run_program, resolve_variant: written by src/plan/emit.rs for one optimizer
#include "gradients.cuh"
#include "memory.cuh"
#include "tables.cuh"

constexpr u32 STAGED_BYTES = 4096;  // src/optimizer/tables.rs has the same number
constexpr u32 STAGED_VALUES = 256;

// Shared memory of a block that evaluates.
struct alignas(16) Scratch {
  unsigned char staged[STAGED_BYTES];
  double values[STAGED_VALUES];
  Facts facts;  // for the commit
  // What the end of the block needs waits here, not in registers (or spilled, as sums of the pointer would be): which call this
  // launch is, and how many blocks take a ticket.
  Control* control;
  u32 call, blocks;

  __device__ __forceinline__ void begin(Control* of, u64 calls, u32 tiles) {
    control = of;
    call = (u32)calls;
    blocks = tiles + 1;
  }
};

// Copies the tables and the facts into `scratch`; the facts by another warp than the first tables. A barrier must follow.
template <u32 THREADS>
__device__ __forceinline__ void stage(const Step& step, Scratch& scratch) {
  if (threadIdx.x == THREADS - WARP) scratch.facts = all_facts(step);
  using Piece = Counts;  // any row of a size that divides all
  static_assert(sizeof(Piece) == 32 && STAGED_BYTES % sizeof(Piece) == 0, "whole pieces");
#pragma unroll 1
  for (u32 i = threadIdx.x; i < step.staged_bytes / sizeof(Piece); i += THREADS) {
    store_staged((Piece*)scratch.staged + i, load_row((const Piece*)step.counts + i));
  }
}

// Where `row` of a staged table is.
template <class Row>
__device__ __forceinline__ const Row* staged(const Step& step, const Scratch& scratch, const Row* row) {
  if (step.staged_bytes == 0) return row;
  return (const Row*)(scratch.staged + ((const unsigned char*)row - (const unsigned char*)step.counts));
}

// What depends on metrics goes on to the next step as it is: only an observation changes it.
template <u32 THREADS>
__device__ __forceinline__ void carry_metrics(const Step& step, const Scratch& scratch, u64 t) {
  const Counts counts = load_staged(staged(step, scratch, step.counts));
  const MetricState* from = step.metric_states + (t & 1) * step.metric_capacity;
  MetricState* to = step.metric_states + (~t & 1) * step.metric_capacity;
#pragma unroll 1
  for (u32 i = threadIdx.x; i < counts.metrics; i += THREADS) store_row(to + i, load_row(from + i));
  const double* window = step.windows + (t & 1) * step.window_capacity;
  double* next = step.windows + (~t & 1) * step.window_capacity;
#pragma unroll 1
  for (u32 i = threadIdx.x; i < counts.windows; i += THREADS) store_row(next + i, load_row(window + i));
}

// What cohorts remember goes on from update `t` to the next one, as `t` leaves it. Their rows are read after a barrier.
template <u32 THREADS>
__device__ __forceinline__ void carry_memory(const Step& step, u64 t) {
  constexpr u32 WIDTH = COHORT_MEMORY == 0 ? 1 : COHORT_MEMORY;
  if constexpr (COHORT_MEMORY != 0) {
    double* memory = load_row(&step.rules->cohort_memory);
    const u32 pairs = step.cohort_capacity * COHORT_MEMORY;
    const double* from = memory + (t & 1) * 2 * (u64)pairs;
    double* to = memory + (~t & 1) * 2 * (u64)pairs;
#pragma unroll 1
    for (u32 i = threadIdx.x; i < pairs; i += THREADS) {
      const u32 after = cohort_rests(step, i / WIDTH) ? 0 : 1;  // or else as it was
      store_row(to + 2 * i, load_row(from + 2 * i + after));
    }
  }
}

// Which update a half is filled for: the one in force, or ahead of it the next one.
enum class Of { now, next };

// The base of an age for update `t`. `ages`: the bases, staged.
template <Of OF>
__device__ __forceinline__ u64 base_at(const Step& step, const u64* ages, u64 t, u32 age) {
  const u64 before = OF == Of::next ? t - 1 : t;
  const u64 base = load_staged(ages + (before & 1) * step.age_capacity + age);
  return OF == Of::next && age_rests(step, age) ? base - 1 : base;
}

// Fills half `t & 1` with what update `t` needs, at which the progress clock shows `progress`. The tables are staged.
template <u32 THREADS, Of OF>
__device__ __forceinline__ void evaluate(const Step& step, Scratch& scratch, u64 t, u64 progress) {
  const Counts counts = load_staged(staged(step, scratch, step.counts));
  const Bundle* bundles = staged(step, scratch, step.bundles);
  const Scalar* scalars = staged(step, scratch, step.scalars);
  const u64* constants = staged(step, scratch, (const u64*)step.constants);
  const u64* ages = staged(step, scratch, (const u64*)step.ages);
  double* kept = step.values + (t & 1) * step.scalar_capacity;
  double* values = step.scalar_capacity <= STAGED_VALUES ? scratch.values : kept;
  const u32 lane = threadIdx.x % WARP;

#pragma unroll 1
  for (u32 i = threadIdx.x / WARP; i < counts.bundles; i += THREADS / WARP) {
    const Bundle bundle = load_staged(bundles + i);
    if (lane < bundle.count) {
      const u32 place = bundle.first + lane;
      const Scalar scalar = load_staged(scalars + place);
      const u64 base = scalar.age == NO_AGE ? 0 : base_at<OF>(step, ages, t, scalar.age);
      const u64 updates = t + base + 1;  // with this one
      const double value = run_program(bundle.program, constants + scalar.constants, t, progress, updates);
      store_staged(values + place, value);
      store_row(kept + place, value);  // for edits, which may go on from it
    }
  }
  __syncthreads();  // cohorts read the values of all warps, and the metrics' scales that other threads carried

#pragma unroll 1
  for (u32 i = threadIdx.x; i < counts.cohorts; i += THREADS) {
    const Cohort* row = row_at<Cohort>(staged(step, scratch, (const unsigned char*)step.cohorts), step.cohort_bytes, i);
    CohortAt at(t, i, row, base_at<OF>(step, ages, t, load_staged(&row->age)), values);
    if (at.row.metric != 0) {
      const MetricState* state = step.metric_states + ((t & 1) * step.metric_capacity + at.row.metric - 1);
      at.lr_scale = load_row(&state->scale);
    }
    resolve_variant(step, at);
  }
  if constexpr (MAY_REST && OF == Of::next) {
#pragma unroll 1
    for (u32 i = threadIdx.x; i < counts.ages; i += THREADS) {
      store_row(step.ages + (t & 1) * step.age_capacity + i, base_at<OF>(step, ages, t, i));
    }
  }
}
