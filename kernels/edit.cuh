// An edit: one block writes constants of schedules between two updates, then evaluates the step in force anew, so that the
// next update uses them. The values travel in the argument of the launch: no host memory has to outlive it.
//
// A boundary can be set to the clock, which the device alone knows: the lengths of the pieces before it are cut so that it
// lies at the step in force. Reads 8 B of clock and writes 8 B per constant; see evaluate.cuh for the rest.
#pragma once
#include "end.cuh"
#include "evaluate.cuh"

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

template <u32 THREADS>
__device__ __forceinline__ void write_constants(const Edit& edit) {
  for (u32 i = threadIdx.x; i < edit.count; i += THREADS) {
    const Write write = edit.writes[i];
    if (write.kind == Write::set) store_row(edit.step.constants + write.place, write.bits);
  }
  __syncthreads();  // thread 0 cuts lengths that were just set
  if (threadIdx.x == 0) {
    resolve(edit);
    if (edit.flags & Edit::take_accumulate) store_row(&edit.step.settings->accumulate, edit.accumulate);
    if (edit.flags & Edit::take_increment) store_relaxed(&edit.step.control->increment, edit.increment);
    if (edit.flags & Edit::take_stop_at) store_row(&edit.step.settings->stop_at, edit.stop_at);
    if (edit.flags & Edit::lower_flags) lower_flags(edit.step);
  }
  __syncthreads();  // all threads evaluate with what thread 0 resolved
}
