// What an optimizer keeps on the device, and what its metric rules, ends and records go by. src/plan/layout.rs and
// src/settings.rs hold the same structs, and both sides assert their sizes. Tables of tensors and schedules: tables.cuh.
//
// Two kinds of memory. `Control` is durable: only the commit, the last block of an update, writes it (and, between two
// updates, an edit its increment and flags, whatever evaluates a half anew its stop flag, the condition of a loop
// `exhausted`, whoever shows parameters for evaluation `shown`, and launches of an update meanwhile `called_while_shown`; an edit `retired`; and the norm launch what is known of the present gradients). What depends on the step lives in two
// halves: update `t` reads half `t & 1`, and while it runs, block 0 computes half `(t + 1) & 1` from the constants, the clock and
// the metric rules alone. A skipped update leaves `t`, so nothing has to be undone. The constants are written by edits alone.
#pragma once
#include "types.cuh"

// The durable state of one optimizer.
struct alignas(16) Control {
  u64 t;          // applied updates
  u64 skipped;    // updates that gradients which are not finite kept from being applied
  u64 progress;   // what the engine counts: samples, tokens
  u64 increment;  // by how much an applied update advances it
  u64 calls;      // all launches of an update that have ended: applied, skipped, or accumulating alone
  u32 micro_step;        // calls since the last update, with gradient accumulation
  u32 growth_tracker;    // applied updates since the loss scale last changed or was to
  float loss_scale;      // what the backward pass multiplies the loss by
  u32 skipped_in_a_row;
  u32 raised;            // sticky: that many updates in a row were skipped
  u32 stop;              // sticky: the end has come, see end.cuh

  // Of the present gradients. Written whole, by the norm launch or by the commit before; nothing durable.
  float factor;       // clip times unscale: what each gradient is multiplied by
  float clip_factor;
  double norm;        // of the unscaled gradients
  u64 end[2];         // in halves: bits of `End`
  u32 found;          // some gradient is not finite
  u32 norm_call;      // the lower half of `calls` when the norm was taken

  u32 hysteresis;     // how many skipped updates the loss scale stands until it backs off
  u32 overlapped;     // sticky: launches of this optimizer ran at the same time, see commit.cuh
  u32 exhausted;      // sticky: a loop came to its bound, see condition.cu
  u32 shown;               // parameters for evaluation are shown, see show.cuh
  u32 called_while_shown;  // sticky: an update was to be made meanwhile
  u32 retired;             // another optimizer has taken its place: launches do nothing, see update.cu
};
static_assert(sizeof(Control) == 128, "src/plan/layout.rs: Control");

// Of elements and metrics.
enum class MetricType : u32 { f32, bf16, f16, f64 };

// What is done with gradients and metrics, in numbers. Which of it is done at all is compiled in.
struct alignas(16) Settings {
  double max_norm;     // clip by norm
  double growth, backoff, min_scale, max_scale;  // dynamic loss scale
  u64 stop_at;         // 0: never
  u64 observe_every;   // the step observes `metric` itself after so many updates
  const void* metric;
  float limit;         // clip by value
  float stop_below;    // 0: never
  u32 growth_interval;
  u32 raise_after;     // 0: never
  u32 accumulate;      // calls per update, at least 1; written by edits
  u32 mean;            // gradients are divided by the calls that an update is made of
  float loss_scale;    // the first one
  MetricType metric_type;
  u32 stop_on_plateau;
  u32 hysteresis;              // skipped updates that make the loss scale back off, at least 1
  u32 consecutive_hysteresis;  // any applied update renews it; else the scale's growth does
  u32 stop_at_min_scale;
  const void* loss;            // of the engine's, for the record of a call; or null
  MetricType loss_type;
  u32 reserved;
};
static_assert(sizeof(Settings) == 128, "src/settings.rs: Settings");

// A metric rule in numbers: plateau or greedy. metric.cuh has what they mean.
struct MetricRule {
  u32 greedy, higher, signed_, window;
  double relative, absolute, factor, min_scale, max_scale, min_change;
  u64 patience, cooldown, pause_after_increase, average, reset_after;
  u64 window_at;  // where its window begins among all windows
};
static_assert(sizeof(MetricRule) == 112, "src/plan/layout.rs: MetricRow");

// What a metric rule remembers between observations.
struct MetricState {
  double scale, best, mean;
  u64 count, bad, cooldown, ignore, good, at_min;
};
static_assert(sizeof(MetricState) == 72, "src/plan/layout.rs: MetricStateRow");

// Where records of calls go: telemetry.cuh. u32[value_count] follow: where each value stands, see `Source`.
struct Telemetry {
  u64* ring;  // [capacity] records
  u32 capacity;
  u32 value_count;
};
static_assert(sizeof(Telemetry) == 16, "src/plan/layout.rs: TelemetryRow");

// The argument of set_condition: what is read, and the CUgraphConditionalHandle that is set.
struct Condition {
  Control* control;
  u64 handle;
  u64* launches;  // of this condition since a loop last ended, or null
  u64 at_most;    // how many a loop may take
};
static_assert(sizeof(Condition) == 32, "src/plan/layout.rs: Condition");
