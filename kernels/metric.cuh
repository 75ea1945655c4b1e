// Metric-driven factors of the learning rate as state machines: reduce on plateau and greedy. One thread a machine.
// src/schedule/{improvement,plateau,greedy}.rs are the same in Rust, operation for operation.
// Reads and writes 72 B a machine and its window, once an observation; nothing per parameter.
#pragma once
#include "math.cuh"
#include "memory.cuh"
#include "state.cuh"

__device__ __forceinline__ bool is_better(const MetricRule& rule, double metric, double best) {
  if (rule.higher) {
    const double factor = rule.signed_ || best > 0.0 ? 1.0 + rule.relative : 1.0 - rule.relative;
    return metric > best * factor + rule.absolute;
  }
  const double factor = rule.signed_ || best > 0.0 ? 1.0 - rule.relative : 1.0 + rule.relative;
  return metric < best * factor - rule.absolute;
}

__device__ __forceinline__ double worst(const MetricRule& rule) {
  return __longlong_as_double(rule.higher ? (long long)0xfff0000000000000ull : 0x7ff0000000000000ll);
}

// scale * factor, not below the bound; the old scale if the change is too small to be made.
__device__ __forceinline__ double lower_scale(const MetricRule& rule, double scale) {
  double lower = scale * rule.factor;
  if (lower < rule.min_scale) lower = rule.min_scale;
  return scale - lower > rule.min_change ? lower : scale;
}

__device__ __forceinline__ MetricState plateau_observe(const MetricRule& rule, MetricState s, double metric) {
  if (s.ignore > 0) {
    s.ignore -= 1;
    return s;
  }
  const double count = (double)s.count;
  s.mean = (count * s.mean + metric) / (count + 1.0);
  s.count += 1;
  if (s.count < rule.average) return s;
  const double seen = s.mean;
  s.mean = 0.0;
  s.count = 0;
  if (is_better(rule, seen, s.best)) {
    s.best = seen;
    s.bad = 0;
    s.at_min = 0;
  } else {
    s.bad += 1;
  }
  if (s.cooldown > 0) {
    s.cooldown -= 1;
    s.bad = 0;
  }
  if (s.bad > rule.patience) {
    const double lower = lower_scale(rule, s.scale);
    if (!(lower < s.scale)) s.at_min += 1;
    s.scale = lower;
    s.cooldown = rule.cooldown;
    s.bad = 0;
  }
  return s;
}

// For greedy, `mean` is the sum of the window, `count` how many metrics went through it, `cooldown` and `ignore` are the
// pauses after a decrease and after an increase.
__device__ __forceinline__ MetricState greedy_decreased(const MetricRule& rule, MetricState s) {
  s.scale = lower_scale(rule, s.scale);
  s.cooldown = rule.cooldown;
  s.bad = 0;
  if (s.scale > rule.min_scale) return s;
  s.at_min += 1;
  if (rule.reset_after == 0 || s.at_min < rule.reset_after) return s;
  const MetricState start = {1.0, worst(rule), 0.0, 0, 0, s.cooldown, 0, 0, 0};
  return start;
}

__device__ __forceinline__ MetricState greedy_observe(const MetricRule& rule, MetricState s, double* window, double metric) {
  double seen = metric;
  if (rule.window > 0) {
    store_row(window + s.count % rule.window, metric);
    s.count += 1;
    const u64 count = s.count < rule.window ? s.count : rule.window;
    s.mean = 0.0;
    // Summed anew, so that a metric that is not finite leaves with its place in the window.
    for (u64 i = 0; i < count; i++) s.mean = s.mean + load_row(window + i);
    seen = s.mean / (double)count;
  }
  if (s.cooldown > 0 || s.ignore > 0) {
    if (s.cooldown > 0) {
      s.cooldown -= 1;
    } else {
      s.ignore -= 1;
    }
    s.good = 0;
    s.bad = 0;
    return s;
  }
  if (is_better(rule, seen, s.best)) {
    s.best = seen;
    s.good += 1;
    s.bad = 0;
  } else {
    s.good = 0;
    s.bad += 1;
  }
  if (s.good > rule.patience) {
    double higher = s.scale / rule.factor;
    if (higher > rule.max_scale) higher = rule.max_scale;
    if (higher - s.scale > rule.min_change) s.scale = higher;
    s.at_min = 0;
    s.ignore = rule.pause_after_increase;
    s.good = 0;
    return s;
  }
  if (s.bad > rule.patience) return greedy_decreased(rule, s);
  return s;
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

__device__ __forceinline__ double metric_of(const Observation& observation) {
  if (observation.address == nullptr) return bits_to_double(observation.bits);
  return metric_at(observation.address, observation.type);
}

// Feeds `metric` to machine `i`, in the half of update `t`.
__device__ __forceinline__ void observe_metric(const Step& step, u32 i, u64 t, double metric) {
  const MetricRule rule = load_row(step.metrics + i);
  MetricState* place = step.metric_states + (t & 1) * step.metric_count + i;
  const MetricState state = load_row(place);
  double* window = step.windows + (t & 1) * step.window_count + rule.window_at;
  store_row(place, rule.greedy ? greedy_observe(rule, state, window, metric) : plateau_observe(rule, state, metric));
}

// Feeds `metric` to all machines, in the half of update `t`: one thread a machine.
template <u32 THREADS>
__device__ __forceinline__ void observe_all(const Step& step, u64 t, double metric) {
  for (u32 i = threadIdx.x; i < step.metric_count; i += THREADS) observe_metric(step, i, t, metric);
}

// The step's own observation, after every n-th update, in the half of update `t` that comes next: the launch that applies
// update n - 1 reads the metric.
template <u32 THREADS>
__device__ __forceinline__ void observe_in_step(const Step& step, u64 t) {
  if (t % load_row(&step.settings->observe_every) != 0) return;
  __syncthreads();  // windows were carried to this half by all threads
  observe_all<THREADS>(step, t, metric_at(load_row(&step.settings->metric), load_row(&step.settings->metric_type)));
}
