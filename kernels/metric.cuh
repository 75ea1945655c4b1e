// Metric-driven factors of the learning rate as state machines: reduce on plateau and greedy. One thread a machine.
// src/schedule/{improvement,plateau,greedy}.rs are the same in Rust, operation for operation.
// Reads and writes 72 B a machine and its window, once an observation; nothing per parameter.
#pragma once
#include "math.cuh"
#include "memory.cuh"
#include "tables.cuh"

// Only a finite metric is better, but for the peers' rule, `signed_`.
__device__ __forceinline__ bool is_better(const MetricRule* rule, double metric, double best) {
  const double relative = load_row(&rule->relative), absolute = load_row(&rule->absolute);
  const bool peers = load_row(&rule->signed_) != 0, grows = peers || best > 0.0;
  if (!peers && !(fabs(metric) <= 1.7976931348623157e308)) return false;
  if (load_row(&rule->higher)) return metric > best * (grows ? 1.0 + relative : 1.0 - relative) + absolute;
  return metric < best * (grows ? 1.0 - relative : 1.0 + relative) - absolute;
}

__device__ __forceinline__ double worst(const MetricRule* rule) {
  return bits_to_double(load_row(&rule->higher) ? 0xfff0000000000000ull : 0x7ff0000000000000ull);
}

// scale * factor, not below the bound; the old scale if the change is too small to be made.
__device__ __forceinline__ double lower_scale(const MetricRule* rule, double scale) {
  const double least = load_row(&rule->min_scale);
  double lower = scale * load_row(&rule->factor);
  if (lower < least) lower = least;
  return scale - lower > load_row(&rule->min_change) ? lower : scale;
}

// One less where there is one; whether there was.
__device__ __forceinline__ bool take_one(u64* left) {
  const u64 count = load_row(left);
  if (count > 0) store_row(left, count - 1);
  return count > 0;
}

// One more, but for the last count that there is.
__device__ __forceinline__ u64 one_more(u64 count) { return count + 1 == 0 ? count : count + 1; }

// Rules and states stay in memory, of which each line loads what it needs: few registers beside those of the update.
__device__ __noinline__ void plateau_observe(const MetricRule* rule, MetricState* s, double metric) {
  if (take_one(&s->ignore)) return;
  const u64 seen_before = load_row(&s->count);
  const double count = (double)seen_before;
  const double seen = (count * load_row(&s->mean) + metric) / (count + 1.0);
  const bool decides = one_more(seen_before) >= load_row(&rule->average);
  store_row(&s->mean, decides ? 0.0 : seen);
  store_row(&s->count, decides ? 0 : one_more(seen_before));
  if (!decides) return;
  u64 bad = one_more(load_row(&s->bad));
  if (is_better(rule, seen, load_row(&s->best))) {
    store_row(&s->best, seen);
    store_row(&s->at_min, (u64)0);
    bad = 0;
  }
  if (take_one(&s->cooldown)) bad = 0;
  if (bad > load_row(&rule->patience)) {
    const double scale = load_row(&s->scale), lower = lower_scale(rule, scale);
    if (!(lower < scale)) store_row(&s->at_min, one_more(load_row(&s->at_min)));
    store_row(&s->scale, lower);
    store_row(&s->cooldown, load_row(&rule->cooldown));
    bad = 0;
  }
  store_row(&s->bad, bad);
}

// For greedy, `mean` is the sum of the window, `count` how many metrics went through it, `cooldown` and `ignore` are the
// pauses after a decrease and after an increase.
__device__ __forceinline__ void greedy_decrease(const MetricRule* rule, MetricState* s) {
  const double scale = lower_scale(rule, load_row(&s->scale));
  const u64 at_min = one_more(load_row(&s->at_min)), reset_after = load_row(&rule->reset_after);
  const u64 pause = load_row(&rule->cooldown);
  store_row(&s->scale, scale);
  store_row(&s->cooldown, pause);
  store_row(&s->bad, (u64)0);
  if (scale > load_row(&rule->min_scale)) return;
  store_row(&s->at_min, at_min);
  if (reset_after == 0 || at_min < reset_after) return;
  const MetricState start = {1.0, worst(rule), 0.0, 0, 0, pause, 0, 0, 0};
  store_row(s, start);
}

__device__ __noinline__ void greedy_observe(const MetricRule* rule, MetricState* s, double* window, double metric) {
  double seen = metric;
  const u32 len = load_row(&rule->window);
  if (len > 0) {
    const u64 before = load_row(&s->count);
    store_row(window + before % len, metric);
    const u64 count = before < len ? before + 1 : len;
    double sum = 0.0;
    // Summed anew, so that a metric that is not finite leaves with its place in the window.
    for (u64 i = 0; i < count; i++) sum = sum + load_row(window + i);
    seen = sum / (double)count;
    store_row(&s->count, one_more(before));
    store_row(&s->mean, sum);
  }
  u64 good = 0, bad = 0;
  if (!take_one(&s->cooldown) && !take_one(&s->ignore)) {
    if (is_better(rule, seen, load_row(&s->best))) {
      store_row(&s->best, seen);
      good = one_more(load_row(&s->good));
    } else {
      bad = one_more(load_row(&s->bad));
    }
  }
  const u64 patience = load_row(&rule->patience);
  if (good > patience) {
    const double scale = load_row(&s->scale), most = load_row(&rule->max_scale);
    double higher = scale / load_row(&rule->factor);
    if (higher > most) higher = most;
    if (higher - scale > load_row(&rule->min_change)) store_row(&s->scale, higher);
    store_row(&s->at_min, (u64)0);
    store_row(&s->ignore, load_row(&rule->pause_after_increase));
    good = 0;
  }
  store_row(&s->good, good);
  store_row(&s->bad, bad);
  if (bad > patience) greedy_decrease(rule, s);
}

// A metric of any type as f64. bf16 is the upper half of an f32; f16 is widened by hand, since NVRTC brings no header.
__device__ __forceinline__ double metric_at(const void* address, MetricType type) {
  if (type == MetricType::f64) return load_row((const double*)address);
  if (type == MetricType::f32) return (double)load_row((const float*)address);
  const u32 bits = load_row((const unsigned short*)address);
  if (type == MetricType::bf16) return (double)__uint_as_float(bits << 16);
  const double sign = bits >> 15 ? -1.0 : 1.0;
  const u32 exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent == 31) return fraction == 0 ? sign * bits_to_double(0x7ff0000000000000ull) : bits_to_double(0x7ff8000000000000ull);
  if (exponent == 0) return sign * (double)fraction * power_of_two(-24);
  return sign * (double)(1024 + fraction) * power_of_two((long long)exponent - 25);
}

// What an observation brings.
struct Observed {
  double metric;
  bool counts;
};

__device__ __forceinline__ Observed metric_of(const Observation& observation) {
  const bool counts = observation.per_update == 0 || load_row(&observation.step.control->micro_step) == 0;
  if (observation.metric == nullptr) return Observed{bits_to_double(observation.bits), counts};
  return Observed{metric_at(observation.metric, observation.type), counts};
}

// Feeds `metric` to all machines, in the half of update `t`: one thread a machine.
template <u32 THREADS>
__device__ __forceinline__ void observe_all(const Step& step, u64 t, double metric) {
  MetricState* states = step.metric_states + (t & 1) * step.metric_capacity;
  double* windows = step.windows + (t & 1) * step.window_capacity;
  const u32 metrics = load_row(&step.counts->metrics);
  for (u32 i = threadIdx.x; i < metrics; i += THREADS) {
    const MetricRule* rule = step.metrics + i;
    if (load_row(&rule->greedy)) {
      greedy_observe(rule, states + i, windows + load_row(&rule->window_at), metric);
    } else {
      plateau_observe(rule, states + i, metric);
    }
  }
}

// The same for an observation, which may not count.
template <u32 THREADS>
__device__ __forceinline__ void observe_all(const Step& step, u64 t, const Observed& observed) {
  if (observed.counts) observe_all<THREADS>(step, t, observed.metric);
}

// The step's own observation, after every n-th update, in the half of update `t` that comes next: the launch that applies
// update n - 1 reads the metric.
template <u32 THREADS>
__device__ __forceinline__ void observe_in_step(const Step& step, u64 t) {
  if (t % load_row(&step.settings->observe_every) != 0) return;
  __syncthreads();  // windows were carried to this half by all threads
  observe_all<THREADS>(step, t, metric_at(load_row(&step.settings->metric), load_row(&step.settings->metric_type)));
}
