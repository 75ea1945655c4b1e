// The tables that a launch goes by, and its argument. src/plan/layout.rs has the same structs; rows whose width depends on
// the rules are templates here and bytes there, at a distance that the argument states.
//
// The argument holds addresses and capacities, which are fixed for the optimizer's life, so a captured launch stays right.
// How much of a table is in use is data on the device: `Counts`.
#pragma once
#include "state.cuh"

// Rows in use.
struct alignas(16) Counts {
  u32 tiles, norm_tiles;  // blocks of a launch past them leave at once
  u32 bundles, cohorts, metrics, windows;
  u32 all_tiles;  // with those of frozen tensors, which come last: for launches that are no update
  u32 ages;
};
static_assert(sizeof(Counts) == 32, "src/plan/layout.rs: Counts");

// The work of one block: a tile of one tensor, or a pack of small tensors of one cohort, a warp each.
struct alignas(16) Tile {
  u32 tensor;   // its row; of a pack the first
  u32 place;    // which tile of the tensor, from element 0; of a pack PACK plus the number of tensors; and the gradient's type
  u32 cohort;
  u32 form;     // which rule with which storages, as generated.cuh counts them
};
static_assert(sizeof(Tile) == 16, "src/plan/layout.rs: TileRow");

constexpr u32 PACK = 0x80000000u;       // src/plan/layout.rs has the same number
constexpr u32 GRAD_TYPE = 29;           // two bits from there on; src/plan/layout.rs has the same number
constexpr u32 NO_TENSOR = 0xffffffffu;  // in no row; asked for so that a branch waits for it (update.cu)

// The same for the norm launch, whose tiles are blocks of the order of summation (norm.cuh).
struct alignas(16) NormTile {
  u32 tensor, place;  // as in `Tile`
  u32 slot;           // where its sum goes; those of a pack go where its tensors' rows say
  u32 parent;         // the node that adds it, or ROOT
};
static_assert(sizeof(NormTile) == 16, "src/plan/layout.rs: NormTileRow");

// What is known when a node has added: nothing, or all that rules need of a tensor, a group, all groups.
enum class Level : u32 { part, tensor, group, all };

// Sums that are added to one: of a section's blocks, a tensor's sections, a group's tensors, all groups.
struct alignas(16) Node {
  u32 first, count;  // the slots of what it adds
  u32 arrivals;      // blocks that bring them; the last one adds
  u32 slot;          // where its own sum goes
  u32 parent;        // the node that adds it, or ROOT
  Level level;       // of the measuring launch
  u32 index;         // the tensor's row, or the group
  u32 variant;
};
static_assert(sizeof(Node) == 32, "src/plan/layout.rs: NodeRow");

constexpr u32 ROOT = 0xffffffffu;  // src/plan/layout.rs has the same number
constexpr u32 NO_SLOT = ROOT;      // in place of a slot: of a tensor that is none any more

// The same as `NormTile` for the measuring launch, which needs to know whose sums it adds.
struct alignas(16) MeasureTile {
  u32 tensor, place, slot, parent;
  u32 cohort, variant, form;
  u32 reserved;
};
static_assert(sizeof(MeasureTile) == 32, "src/plan/layout.rs: MeasureTileRow");

// A group, for what follows from its sums.
struct alignas(16) Group {
  u32 variant;
  u32 first_cohort;  // others follow, see `Cohort`
  u32 slot;         // where its sum is
  u32 reserved;
  u64 len;          // elements of its tensors
  u64 len_of_all;   // of the tensors of all groups with this variant
};
static_assert(sizeof(Group) == 32, "src/plan/layout.rs: GroupRow");

// A sum, of squares or magnitudes say; for the maximum norm the largest magnitude.
struct alignas(16) Partial {
  double sum;
  u32 found;  // a gradient among them is not finite
  u32 reserved;
};
static_assert(sizeof(Partial) == 16, "src/plan/layout.rs: PartialRow");

// What is said of every tensor. Its place in the list follows from nothing else: rows are sorted, and never move.
struct alignas(8) TensorHead {
  u64 len;
  u32 slot;    // where its sum goes
  u32 place;   // in the list of tensors
  u32 number;  // for random bits
  u32 flags;
  u32 cohort;
  u32 gate;    // the place of the flag that it follows, counted from 1; 0 if it follows none
};

static_assert(sizeof(TensorHead) == 32, "src/plan/layout.rs: TensorHead");

// A row of the table of tensors. The address of the gradient, which may move, is in a table of its own.
template <u32 ADDRESSES>
struct alignas(8) TensorRow {
  TensorHead head;
  u64 address[ADDRESSES - 1];  // of element 0
};
static_assert(sizeof(TensorRow<4>) == 56, "src/plan/layout.rs: tensor_bytes");

// One tensor. Addresses: see `Streams`.
template <u32 ADDRESSES>
struct Tensor : TensorHead {
  u64 address[ADDRESSES];
};

// Flags of a tensor; src/plan/layout.rs has the same numbers.
constexpr u32 MASTER_GIVEN = 1;
constexpr u32 JUST_ADDED = 2;
constexpr u32 GRAD_TYPE_FLAG = 2;  // two bits from there on: as in a tile
constexpr u32 FORM_FLAG = 4;       // all bits from there on: as in a tile

// Up to 32 scalars whose formulas have one structure: a warp evaluates them, one a lane.
struct alignas(16) Bundle {
  u32 program;
  u32 first;  // the first of its scalars
  u32 count;
  u32 reserved;
};
static_assert(sizeof(Bundle) == 16, "src/plan/layout.rs: BundleRow");

// One value of a half: of a schedule, or what follows from one and a count of updates.
struct alignas(8) Scalar {
  u32 age;        // whose count, or NO_AGE
  u32 constants;  // where its constants begin
};
static_assert(sizeof(Scalar) == 8, "src/plan/layout.rs: ScalarRow");

constexpr u32 NO_AGE = 0xffffffffu;  // src/plan/layout.rs has the same number

// An age: tensors that have had the same number of updates, `t + base` modulo 2^64, and rest together. `Step.ages` has the bases,
// in halves: a tensor that has no gradient for update `t` rests, and block 0 leaves `base - 1` for the next one. What is said of
// ages besides: who rests until the host says otherwise, and which flag of the engine's they follow.
struct alignas(4) AgeFlags {
  u32 bits;

  __device__ __forceinline__ bool absent() const { return (bits & 1) != 0; }
  __device__ __forceinline__ u32 gate() const { return bits >> 1; }  // as in `TensorHead`
};
static_assert(sizeof(AgeFlags) == 4, "src/plan/layout.rs: AgeFlags");

// Tensors of a group of one age, for which the hyperparameters are the same. Where some tensors scale those, `Scales` follow; then
// u32[Rule::INPUTS]: the scalars that the rule's own are resolved from.
struct alignas(8) Cohort {
  u32 age;
  u32 variant;
  u32 metric;  // the place of the group's metric rule, counted from 1; 0 if it has none
  u32 next;    // another cohort of the group, or NO_COHORT
};
static_assert(sizeof(Cohort) == 16, "src/plan/layout.rs: CohortHead");

constexpr u32 NO_COHORT = 0xffffffffu;  // src/plan/layout.rs has the same number

// What the learning rate and the weight decay are multiplied by.
struct alignas(8) Scales {
  double rate, decay;
};
static_assert(sizeof(Scales) == 16, "src/plan/layout.rs: cohort_bytes");

// What an update needs of its cohort: the hyperparameters, then what the rule derives from them, in f64, rounded once to
// f32. Each rule names the places.
template <u32 SCALARS>
struct alignas(16) Record {
  float value[SCALARS];
};

// What is a tensor's own: scalars that follow from sums over it.
template <u32 SCALARS>
struct alignas(16) Own {
  float value[SCALARS == 0 ? 1 : SCALARS];
};

// Where a scalar goes.
struct alignas(16) Output {
  void* place;  // of the engine's
  u32 pair;     // among those that cohorts remember
  u32 wide;     // an f64; or else an f32
};
static_assert(sizeof(Output) == 16, "src/plan/layout/sums.rs: OutputRow");

// What rules that measure or remember need besides. Memory is f64: of cohorts two halves of pairs, as the update before left it
// and as this one leaves it; of groups (the same in each of their cohorts) and tensors, which the measuring launch of update `t`
// writes, what `t` leaves in half `t & 1`. Rows are as wide as generated.cuh says.
struct alignas(16) RuleTables {
  const MeasureTile* measure_tiles;
  const Node* measure_nodes;
  Partial* measure_sums;  // rows of MEASURED
  u32* measure_arrivals;  // blocks that brought their sums to each node
  const u32* measure_slots;  // where each tensor's sum goes, in the order of the list
  const Group* groups;
  void* own;              // rows of Own
  double* cohort_memory;
  double* group_memory;
  double* tensor_memory;
  const u64* cohort_lens;  // elements of the tensors of each cohort
  u32 measure_tile_count;
  u32 group_count;
  u32 tensor_capacity;
  u32 output_count;
  const Output* outputs;  // in as many rows
};
static_assert(sizeof(RuleTables) == 112, "src/plan/layout.rs: RuleTablesRow");

// The argument of every launch but set_condition.
struct Step {
  Control* control;
  Settings* settings;  // written by edits alone
  const Counts* counts;  // here begins what evaluate.cuh stages: counts, bundles, scalars, cohorts, constants
  const Bundle* bundles;
  const Scalar* scalars;
  const void* cohorts;  // rows of cohort_bytes
  u64* ages;            // two halves of [age_capacity] bases
  u64* constants;       // written by edits alone
  const AgeFlags* age_flags;  // used where tensors may rest
  const u64* gates;           // addresses of flags of the engine's, f32[1] each: 0 lets those who follow it rest
  const Tile* tiles;
  const void* tensors;  // rows of tensor_bytes
  const u64* grads;     // for each of those, the address of its gradient; 0 where it rests
  double* values;  // two halves of [scalar_capacity]
  void* records;   // two halves of [cohort_capacity] rows of record_bytes
  u64* ticket;     // of the running update: see commit.cuh. u32[nodes] follow: blocks that brought their sums to each node
  const NormTile* norm_tiles;
  const Node* nodes;
  Partial* sums;
  const MetricRule* metrics;
  MetricState* metric_states;  // two halves of [metric_capacity]
  double* windows;             // two halves of [window_capacity]
  // Handed in by the engine, f32[1] each, or null.
  const float* found_inf;    // anything but 0 skips the update
  const float* inv_scale;    // instead of 1 / loss_scale
  const float* norm_square;  // the square of the norm of the scaled gradients
  const Telemetry* telemetry;  // used where it is compiled in
  u64* host_flags;  // in the host's memory, u64[3]: `stop`, `raised`, and whether a launch came after it was retired; or null
  u32 staged_bytes;  // from `counts` on; 0 if that is more than fits
  u32 cohort_bytes, tensor_bytes, record_bytes;
  u32 scalar_capacity, cohort_capacity, age_capacity, metric_capacity, window_capacity;
  u32 reserved;
  u32 flush;  // this launch makes an update of the calls before it alone
  u32 choice;  // of `remake`: see there; of `show`: for evaluation, or else for training; of `update`: FINISH
  u64 seed;  // of random bits: here, since its sums are then kept in uniform registers
  const RuleTables* rules;  // used where a rule measures or remembers
};
static_assert(sizeof(Step) == 280, "src/plan/layout.rs: Step");

// The row at `index` of a table whose rows are `bytes` apart.
template <class Row>
__device__ __forceinline__ const Row* row_at(const void* table, u32 bytes, u64 index) {
  return (const Row*)((const char*)table + index * bytes);
}

// The record of a cohort for update `t`.
template <class Row>
__device__ __forceinline__ Row* record_at(const Step& step, u64 t, u32 cohort) {
  return (Row*)row_at<Row>(step.records, step.record_bytes, (t & 1) * step.cohort_capacity + cohort);
}

// What an edit writes at one place of the table of constants; edit.cuh has what each kind means.
struct Write {
  enum Kind : u32 { set, clock, cut, length, reached, age_of, age_at, memory_of, start_cohort, start_group, start_tensor, group_of };
  u64 bits;
  u32 place;
  u32 kind;
};
static_assert(sizeof(Write) == 16, "src/plan/layout.rs: Write");

// In `choice`: the tiles were updated before, by launches of parts; what is left is to look ahead and to commit.
constexpr u32 FINISH = 1;  // src/plan/layout.rs has the same number

constexpr u32 MAX_WRITES = 236;  // with all else they fill the 4 KiB that the argument of a kernel may have

// The argument of an edit.
struct Edit {
  enum Flags : u32 { take_increment = 1, evaluate_anew = 2, take_accumulate = 4, take_stop_at = 8, lower_flags = 16, level_memory = 32, retire = 64 };
  Step step;
  u64 increment;   // by how much an applied update advances the progress clock from now on
  u64 stop_at;     // the number of updates that raises the stop flag from now on, or 0
  u32 accumulate;  // calls per update from now on
  u32 count;
  u32 flags;
  u32 reserved[3];
  Write writes[MAX_WRITES];
};
static_assert(sizeof(Edit) == 4096, "src/plan/layout.rs: EditRow");

// A tensor of a part: its row, and the first block of its tiles.
struct PartOf {
  u32 row, first;
};

constexpr u32 MAX_PARTS = 475;  // with all else they fill the 4 KiB that the argument of a kernel may have

// The argument of a part of an update.
struct Part {
  Step step;
  u32 count;
  u32 reserved[3];
  PartOf of[MAX_PARTS];
};
static_assert(sizeof(Part) == 4096, "src/plan/layout.rs: PartRow");

// The argument of an observation: the address of a metric, or its bits as an f64 if that is null; and whether it counts only
// where no accumulation is half done.
struct Observation {
  Step step;
  const void* metric;
  u64 bits;
  MetricType type;
  u32 per_update;
};
static_assert(sizeof(Observation) == sizeof(Step) + 24, "src/plan/layout.rs: Observation");
