// An edit: one block writes constants of schedules between two updates, then evaluates the step in force anew, so that the
// next update uses them. The values travel in the argument of the launch: no host memory has to outlive it.
//
// A boundary can be set to the clock, which the device alone knows: the lengths of the pieces before it are cut so that it
// lies at the step in force. Reads 8 B of clock and writes 8 B per constant; see evaluate.cuh for the rest.
//
// So do changes of the tensors: an age that begins at a count, or where another one is, which again the device alone knows; and what
// is remembered, of those that begin and of those that from now on no launch carries on.
#pragma once
#include "end.cuh"
#include "evaluate.cuh"

// The base of an age in force.
__device__ __forceinline__ u64* age_at(const Step& step, u64 t, u32 age) { return step.ages + (t & 1) * step.age_capacity + age; }

// What a cohort remembers of itself goes to another one of the same rule.
template <u32 WIDTH>
__device__ __forceinline__ void copy_of_cohort(const Step& step, u64 t, u32 from, u32 to) {
  if constexpr (WIDTH != 0) {
    double* half = memory_of(load_row(&step.rules->cohort_memory), t, step.cohort_capacity, 0, 2 * WIDTH);
#pragma unroll 1
    for (u32 k = 0; k < WIDTH; k++) store_row(half + 2 * (to * WIDTH + k), load_row(half + 2 * (from * WIDTH + k)));
  }
}

// So does what it has of its group, in both halves.
template <u32 WIDTH>
__device__ __forceinline__ void copy_of_group(const Step& step, u32 from, u32 to) {
  if constexpr (WIDTH != 0) {
    double* memory = load_row(&step.rules->group_memory);
#pragma unroll 1
    for (u32 k = 0; k < 2 * WIDTH; k++) {
      double* half = memory + (u64)(k % 2) * step.cohort_capacity * WIDTH + k / 2;
      store_row(half + to * WIDTH, load_row(half + from * WIDTH));
    }
  }
}

// Writes one value to both halves of a memory of `values`.
__device__ __forceinline__ void start_in_halves(double* memory, u32 values, const Write& write) {
  store_row(memory + write.place, bits_to_double(write.bits));
  store_row(memory + values + write.place, bits_to_double(write.bits));
}

// What groups and tensors remember, in both halves as the last update left it: whoever is not measured from now on keeps it.
template <u32 THREADS>
__device__ __forceinline__ void level_memory(const Step& step, u64 t) {
  const auto level = [&](double* memory, u32 values) {
    const double* from = memory + (~t & 1) * (u64)values;
    double* to = memory + (t & 1) * (u64)values;
#pragma unroll 1
    for (u32 i = threadIdx.x; i < values; i += THREADS) store_row(to + i, load_row(from + i));
  };
  if constexpr (GROUP_MEMORY != 0) level(load_row(&step.rules->group_memory), step.cohort_capacity * GROUP_MEMORY);
  if constexpr (TENSOR_MEMORY != 0) {
    level(load_row(&step.rules->tensor_memory), load_row(&step.rules->tensor_capacity) * TENSOR_MEMORY);
  }
}

// Writes that depend on the clock or on each other, by one thread, in their order.
__device__ __forceinline__ void resolve(const Edit& edit) {
  const Step& step = edit.step;
  const u64 t = load_relaxed(&step.control->t);
  u64 remaining = 0;
#pragma unroll 1
  for (u32 i = 0; i < edit.count; i++) {
    const Write write = edit.writes[i];
    u64* place = step.constants + write.place;
    if (write.kind == Write::clock) {  // `bits`: 0 the step, 1 progress
      remaining = write.bits == 0 ? t : load_row(&step.control->progress);
    } else if (write.kind == Write::cut) {  // the length at `place` to what remains
      const u64 length = until(load_row(place), remaining);
      store_row(place, length);
      remaining -= length;
    } else if (write.kind == Write::length) {  // what remains to `place`
      store_row(place, remaining);
    } else if (write.kind == Write::age_of) {  // the age at `place` begins where that at `bits` is
      store_row(age_at(step, t, write.place), load_row(age_at(step, t, (u32)write.bits)));
    } else if (write.kind == Write::age_at) {  // or after `bits` updates
      store_row(age_at(step, t, write.place), write.bits - t);
    } else if (write.kind == Write::memory_of) {  // the cohort at `place` remembers what that at `bits` does
      copy_of_cohort<COHORT_MEMORY>(step, t, (u32)write.bits, write.place);
      copy_of_group<GROUP_MEMORY>(step, (u32)write.bits, write.place);
    } else if (write.kind == Write::group_of) {  // or what that has of its group alone
      copy_of_group<GROUP_MEMORY>(step, (u32)write.bits, write.place);
    } else if (write.kind == Write::start_cohort) {  // `place`, among what cohorts remember, becomes `bits`
      store_row(memory_of(load_row(&step.rules->cohort_memory), t, step.cohort_capacity, 0, 2 * COHORT_MEMORY) + 2 * write.place,
                bits_to_double(write.bits));
    } else if (write.kind == Write::start_group) {
      start_in_halves(load_row(&step.rules->group_memory), step.cohort_capacity * GROUP_MEMORY, write);
    } else if (write.kind == Write::start_tensor) {
      start_in_halves(load_row(&step.rules->tensor_memory), load_row(&step.rules->tensor_capacity) * TENSOR_MEMORY, write);
    } else if (write.kind == Write::reached) {  // the value in force of scalar `bits` to `place`
      store_row(place, double_to_bits(load_row(step.values + (t & 1) * step.scalar_capacity + write.bits)));
    }
  }
}

// Lowers all sticky flags, and forgets what raised them: skips in a row, what launches that overlapped left behind, and that
// the rate was below the floor already, so that it raises the flag once more if it still is.
__device__ __forceinline__ void lower_flags(const Step& step) {
  Control* control = step.control;
  if (load_row(&control->stop) != 0) store_relaxed(&control->end[load_relaxed(&control->t) & 1], 0);
  store_row(&control->stop, 0u);
  store_row(&control->raised, 0u);
  store_row(&control->skipped_in_a_row, 0u);
  store_row(&control->overlapped, 0u);
  store_row(&control->exhausted, 0u);
  store_row(&control->called_while_shown, 0u);
  store_relaxed(step.ticket, 0);
  tell_host(step);
}

// No launch finds work from now on, and `update` says that it came too late.
__device__ __forceinline__ void retire(const Step& step) {
  store_row((Counts*)step.counts, Counts{});
  if (step.rules != nullptr) store_row((u32*)&step.rules->measure_tile_count, 0u);
  store_relaxed(&step.control->retired, 1u);
}

template <u32 THREADS>
__device__ __forceinline__ void write_constants(const Edit& edit) {
  for (u32 i = threadIdx.x; i < edit.count; i += THREADS) {
    const Write write = edit.writes[i];
    if (write.kind == Write::set) store_row(edit.step.constants + write.place, write.bits);
  }
  if (edit.flags & Edit::level_memory) level_memory<THREADS>(edit.step, load_relaxed(&edit.step.control->t));
  __syncthreads();  // thread 0 cuts lengths that were just set, and copies what was just levelled
  if (threadIdx.x == 0) {
    resolve(edit);
    if (edit.flags & Edit::take_accumulate) store_row(&edit.step.settings->accumulate, edit.accumulate);
    if (edit.flags & Edit::take_increment) store_relaxed(&edit.step.control->increment, edit.increment);
    if (edit.flags & Edit::take_stop_at) store_row(&edit.step.settings->stop_at, edit.stop_at);
    if (edit.flags & Edit::lower_flags) lower_flags(edit.step);
    if (edit.flags & Edit::retire) retire(edit.step);
  }
  __syncthreads();  // all threads evaluate with what thread 0 resolved
}
