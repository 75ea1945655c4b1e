// The record of one call that was an update or a skipped one, in a ring that the host reads while kernels run. Calls are
// numbered by t + skipped; a record's place is its number modulo the ring's capacity. src/telemetry/ring.rs reads it.
//
// Each u64 of a record holds 32 bits of it in its lower half and the number of the call plus 1, modulo 2^32, in its upper half:
// a store of 8 B is seen whole, so a record is whole if all its words have one number, in whatever order they were written,
// cached, copied or read. No fence, and nothing waits. Source of the pattern: the LL protocol of NCCL.
//
// Writes 8 B per word, by one block beside the walk: 72 B a call and 8 B per value, of which it reads 8 B.
#pragma once
#include "gradients.cuh"

constexpr u32 TELEMETRY_HEADER = 9;  // words before the values; src/telemetry/ring.rs has the same number

// Word `k` of the header of the record of call t + skipped.
template <class O>
__device__ __forceinline__ u32 header_word(const Step& step, const Facts& f, u32 k, u64 t) {
  if (k == 0) return (u32)t;
  if (k == 1) return (u32)(t >> 32);
  if (k == 2) return (u32)f.control.skipped;
  if (k == 3) return (u32)(f.control.skipped >> 32);
  if (k == 4) return (skips<O>(step, f) ? 0 : 1) | (raises<O>(step, f) ? 2 : 0);
  if (k == 5) return __float_as_uint(f.control.loss_scale);
  Verdict verdict = {0.0, 1.0, 0.0f};
  if constexpr (O::FACTOR == Factor::computed) verdict = computed<O>(step, f);
  if constexpr (O::NORM != Norm::none) verdict = {f.control.norm, (double)f.control.clip_factor, 0.0f};
  if (k == 6) return __float_as_uint((float)verdict.clip);
  return (u32)(double_to_bits(verdict.norm) >> (k == 7 ? 0 : 32));
}

// By one block, before the commit of the call: the clocks are still this call's.
template <u32 THREADS, class O>
__device__ __forceinline__ void note_call(const Step& step, const Facts& f, u64 t) {
  const Telemetry telemetry = load_row(step.telemetry);
  const u64 call = t + f.control.skipped;
  const u32 words = TELEMETRY_HEADER + telemetry.value_count;
  const u32* sources = (const u32*)(step.telemetry + 1);
  const float* values = record_at<const float>(step, t, 0);
  u64* record = telemetry.ring + call % telemetry.capacity * words;
  for (u32 k = threadIdx.x; k < words; k += THREADS) {
    const u32 bits = k < TELEMETRY_HEADER
                         ? header_word<O>(step, f, k, t)
                         : __float_as_uint(load_row(values + load_row(sources + k - TELEMETRY_HEADER)));
    store_word(record + k, (call + 1) << 32 | bits);
  }
}
