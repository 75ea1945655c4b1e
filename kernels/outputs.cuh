// Scalars of the update in force, written to addresses that the engine gave, for kernels of its own.
//
// A block takes OUTPUTS_OF_BLOCK rows, a thread each. Reads 16 B and an f64 per address; writes 4 B or 8 B. Nothing per parameter. An
// update that is skipped has written what it writes again when it is made: the clock stays.
#pragma once
#include "memory.cuh"
#include "tables.cuh"

constexpr u32 OUTPUTS_OF_BLOCK = 256;  // src/plan/outputs.rs has the same number

// By block `place` of those that write, for update `t`.
template <u32 THREADS>
__device__ __forceinline__ void write_outputs(const Step& step, u64 t, u32 place) {
  static_assert(THREADS == OUTPUTS_OF_BLOCK, "a thread each");
  const RuleTables rules = load_row(step.rules);
  const u32 i = place * THREADS + threadIdx.x;
  if (i >= rules.output_count) return;
  const Output output = load_row(rules.outputs + i);
  // As this update leaves what the cohort remembers.
  const u64 pair = (t & 1) * step.cohort_capacity * COHORT_MEMORY + output.pair;
  const double value = load_row(rules.cohort_memory + 2 * pair + 1);
  if (output.wide) {
    store_element((double*)output.place, value);
  } else {
    store_element((float*)output.place, (float)value);
  }
}
