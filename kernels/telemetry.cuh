// The record of one call that was an update or a skipped one, in a ring that the host reads while kernels run. Calls are
// numbered by t + skipped; a record's place is its number modulo the ring's capacity. src/telemetry/ring.rs reads it.
//
// Each u64 of a record holds 32 bits of it in its lower half and the number of the call plus 1, modulo 2^32, in its upper half:
// a store of 8 B is seen whole, so a record is whole if all its words have one number, in whatever order they were written,
// cached, copied or read. No fence, and nothing waits. Source of the pattern: the LL protocol of NCCL.
//
// Writes 8 B per word, by one block beside the walk: 80 B a call and 8 B per value, of which it reads 8 B at most.
#pragma once
#include "gradients.cuh"
#include "metric.cuh"

constexpr u32 TELEMETRY_HEADER = 10;  // words before the values; src/telemetry/ring.rs has the same number

// Word `k` of the header of the record of call t + skipped.
template <class O>
__device__ __forceinline__ u32 header_word(const Step& step, const Facts& f, u32 k, u64 t) {
  if (k == 0) return (u32)t;
  if (k == 1) return (u32)(t >> 32);
  if (k == 2) return (u32)f.control.skipped;
  if (k == 3) return (u32)(f.control.skipped >> 32);
  if (k == 4) return (skips<O>(step, f) ? 0 : 1) | (raises<O>(step, f) ? 2 : 0) | (f.control.overlapped ? 4 : 0);
  if (k == 5) return __float_as_uint(f.control.loss_scale);
  if (k == 9) return __float_as_uint(f.settings.loss == nullptr ? 0.0f : (float)metric_at(f.settings.loss, f.settings.loss_type));
  Verdict verdict = {0.0, 1.0, 0.0f};
  if constexpr (O::FACTOR == Factor::computed) verdict = computed<O>(step, f);
  if constexpr (O::NORM != Norm::none) verdict = {f.control.norm, (double)f.control.clip_factor, 0.0f};
  if (k == 6) return __float_as_uint((float)verdict.clip);
  return (u32)(double_to_bits(verdict.norm) >> (k == 7 ? 0 : 32));
}

// Where a value stands: in the half of the records, counted in f32, in that of the metric rules' states or in that of what groups
// remember, counted in 8 B.
enum Source : u32 { remembered = 0x40000000u, metric_value = 0x80000000u, metric_count = 0xc0000000u, place_bits = 0x3fffffffu };

__device__ __forceinline__ float value_at(const Step& step, u64 t, bool skipped, u32 source) {
  if (GROUP_MEMORY != 0 && (source & ~Source::place_bits) == Source::remembered) {
    // A skipped update left nothing.
    const double* memory = memory_of(load_row(&step.rules->group_memory), skipped ? t - 1 : t, step.cohort_capacity, 0, GROUP_MEMORY);
    return (float)load_row(memory + (source & Source::place_bits));
  }
  if (!(source & Source::metric_value)) return load_row(record_at<const float>(step, t, 0) + source);
  const u64* states = (const u64*)(step.metric_states + (t & 1) * step.metric_capacity);
  const u64 bits = load_row(states + (source & Source::place_bits));
  return source >= Source::metric_count ? (float)bits : (float)bits_to_double(bits);
}

// By one block, before the commit of the call: the clocks are still this call's.
template <u32 THREADS, class O>
__device__ __forceinline__ void note_call(const Step& step, const Facts& f, u64 t) {
  const Telemetry telemetry = load_row(step.telemetry);
  const u64 call = t + f.control.skipped;
  const u32 words = TELEMETRY_HEADER + telemetry.value_count;
  const u32* sources = (const u32*)(step.telemetry + 1);
  u64* record = telemetry.ring + call % telemetry.capacity * words;
  for (u32 k = threadIdx.x; k < words; k += THREADS) {
    const u32 bits = k < TELEMETRY_HEADER
                         ? header_word<O>(step, f, k, t)
                         : __float_as_uint(value_at(step, t, skips<O>(step, f), load_row(sources + k - TELEMETRY_HEADER)));
    store_word(record + k, (call + 1) << 32 | bits);
  }
}
