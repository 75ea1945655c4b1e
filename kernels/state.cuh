// Layouts shared with the host: src/plan/layout.rs holds the same structs, and both sides assert their sizes.
//
// Two kinds of memory. `Control` is durable: only the commit, the last block of an update, writes it (and, between two
// updates, an edit its increment, and whatever evaluates a half anew its stop flag). What depends on the step lives in two
// halves: update `t` reads half `t & 1`, and while it runs, block 0 computes half `(t + 1) & 1` from the constants, the clock and
// the metric rules alone. A skipped update leaves `t`, so nothing has to be undone. The constants are written by edits alone.
#pragma once
#include "types.cuh"

// The durable state of one optimizer.
struct Control {
  u64 t;          // applied updates
  u64 skipped;    // updates that gradients which are not finite kept from being applied
  u64 progress;   // what the engine counts: samples, tokens
  u64 increment;  // by how much an applied update advances it
  u32 ticket;     // blocks of the running launch that are done; wraps to 0 by itself
  u32 norm_ticket;       // the same for the norm launch
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
  u32 reserved[7];
};
static_assert(sizeof(Control) == 128, "src/plan/layout.rs: Control");

enum class MetricType : u32 { f32, bf16, f16, f64 };

// What is done with gradients and metrics, in numbers. Which of it is done at all is compiled in.
struct Settings {
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
  u32 reserved;
};
static_assert(sizeof(Settings) == 104, "src/plan/layout.rs: Settings");

// 4,096 elements of one tensor's gradient, the work of one warp of the norm launch.
struct NormBlock {
  u32 tensor;
  u32 index;
};
static_assert(sizeof(NormBlock) == 8, "src/plan/layout.rs: NormBlock");

constexpr u32 NORM_BLOCK = 4096;  // part of the order of summation: never tuned; src/plan/layout.rs has the same number

// What a norm block found.
struct alignas(16) Partial {
  double sum;  // of squares or magnitudes; for the maximum norm the largest magnitude
  u32 found;
  u32 reserved;
};
static_assert(sizeof(Partial) == 16, "src/plan/layout.rs: Partial");

// One tensor. Addresses are of element 0; `skew` is how many elements before it the 16-byte window begins that it lies in,
// the same for all four addresses if `vector` is set.
struct alignas(16) Tensor {
  float* param;
  float* grad;
  float* state[2];
  u64 len;
  u32 cohort;
  u32 variant;
  u32 skew;
  u32 vector;
  u64 reserved;
};
static_assert(sizeof(Tensor) == 64, "src/plan/layout.rs: Tensor");

// A piece of work for one warp: elements [index * CHUNK - skew, (index + 1) * CHUNK - skew) of a tensor.
struct Chunk {
  u32 tensor;
  u32 index;
};
static_assert(sizeof(Chunk) == 8, "src/plan/layout.rs: Chunk");

constexpr u32 CHUNK = 2048;  // not tuned on a GPU yet; src/plan/layout.rs has the same number

// Up to 32 scalars whose schedules have one structure: a warp evaluates them, one a lane.
struct Bundle {
  u32 program;
  u32 first;  // the first of its scalars
  u32 count;
  u32 reserved;
};
static_assert(sizeof(Bundle) == 16, "src/plan/layout.rs: Bundle");

constexpr u32 MAX_HYPERPARAMETERS = 6;

// A parameter group: which scalar each of its hyperparameters is.
struct Group {
  u32 scalar[MAX_HYPERPARAMETERS];
  u32 variant;
  u32 metric;  // the place of its metric rule, counted from 1; 0 if it has none
};
static_assert(sizeof(Group) == 32, "src/plan/layout.rs: Group");

// Tensors of a group that have had the same number of updates: `t + base`, modulo 2^64.
struct Cohort {
  u64 base;
  u32 group;
  u32 reserved;
};
static_assert(sizeof(Cohort) == 16, "src/plan/layout.rs: Cohort");

// What an update needs of its cohort: computed in f64, rounded once to f32. Each rule names the places.
struct alignas(16) Record {
  float value[16];
};
static_assert(sizeof(Record) == 64, "src/plan/layout.rs: Record");

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

// Where records of calls go: telemetry.cuh. u32[value_count] follow: where each value stands in a half of the records.
struct Telemetry {
  u64* ring;  // [capacity] records
  u32 capacity;
  u32 value_count;
};
static_assert(sizeof(Telemetry) == 16, "src/plan/layout.rs: TelemetryRow");

// The argument of a step. All addresses are fixed for the optimizer's life, so a captured launch stays right.
struct Step {
  Control* control;
  const Tensor* tensors;
  const Chunk* chunks;
  u64* constants;  // written by edits alone
  const u32* scalars;  // per scalar: where its constants begin
  const Bundle* bundles;
  const Group* groups;
  const Cohort* cohorts;
  double* values;   // two halves of [scalar_count]: the schedules' values
  Record* records;  // two halves of [cohort_count]
  Settings* settings;  // written by edits alone
  const NormBlock* norm_blocks;
  Partial* partials;
  const MetricRule* metrics;
  MetricState* metric_states;  // two halves of [metric_count]
  double* windows;             // two halves of [window_count]
  // Handed in by the engine, f32[1] each, or null.
  const float* found_inf;    // anything but 0 skips the update
  const float* inv_scale;    // instead of 1 / loss_scale
  const float* norm_square;  // the square of the norm of the scaled gradients
  const Telemetry* telemetry;  // used where it is compiled in
  u32 chunk_count;
  u32 bundle_count;
  u32 scalar_count;
  u32 cohort_count;
  u32 norm_block_count;
  u32 metric_count;
  u32 window_count;
  u32 reserved;
};
static_assert(sizeof(Step) == 192, "src/plan/layout.rs: Step");

// What an edit writes at one place of the table of constants; edit.cuh has what each kind means.
struct Write {
  enum Kind : u32 { set, clock, cut, length, reached };
  u64 bits;
  u32 place;
  u32 kind;
};
static_assert(sizeof(Write) == 16, "src/plan/layout.rs: Write");

constexpr u32 MAX_WRITES = 242;  // with all else they fill the 4 KiB that the argument of a kernel may have

// The argument of an edit.
struct Edit {
  enum Flags : u32 { take_increment = 1, evaluate_anew = 2, take_accumulate = 4 };
  Step step;
  u64 increment;   // by how much an applied update advances the progress clock from now on
  u32 accumulate;  // calls per update from now on
  u32 count;
  u32 flags;
  u32 reserved;
  Write writes[MAX_WRITES];
};
static_assert(sizeof(Edit) == 4088, "src/plan/layout.rs: EditRow");

// The argument of set_condition: what is read, and the CUgraphConditionalHandle that is set.
struct Condition {
  const Control* control;
  u64 handle;
};
static_assert(sizeof(Condition) == 16, "src/plan/layout.rs: Condition");

// The argument of an observation: a metric at `address`, or its bits as an f64 if that is null.
struct Observation {
  Step step;
  const void* address;
  u64 bits;
  MetricType type;
  u32 reserved;
};
static_assert(sizeof(Observation) == sizeof(Step) + 24, "src/plan/layout.rs: Observation");
