// The library's update without its resident schedule: what an engine launches that keeps the schedule on the host.
//
// The same walk, the same arithmetic, the same traffic per parameter (adam.cuh, sgd.cuh); no clock, no evaluating block and
// no ticket. The three kernels differ in where the step's scalars come from:
//   update_by_value: the launch's own arguments        update_filled: device memory, filled anew before each launch
//   update_literal: constants in the code; the floor that a schedule's cost is measured against
#include "adam.cuh"
#include "sgd.cuh"
#include "variant.cuh"
#include "rule.cuh"  // Rule and literal_record: written by the bench

constexpr u32 BLOCKS_PER_MULTIPROCESSOR = 4;  // as in update.cu, so that the schedule is all that differs
constexpr u32 VECTORS = 2;                    // as in generated.cuh; benches/step/case.rs: TILE

// Gradients go to the rule as they are.
using Untouched = GradientOptions<Norm::none, Clip::none, Factor::none, false, false, false, false>;

// All streams of a rule with this many.
template <u32 COUNT>
struct Floats;
template <>
struct Floats<2> {
  using Type = Gradient;
};
template <>
struct Floats<3> {
  using Type = Streams<f32, f32, f32>;
};
template <>
struct Floats<4> {
  using Type = Streams<f32, f32, f32, f32>;
};

struct Tables {
  const void* tensors;
  const Tile* tiles;
  u32 tile_count;
  u32 tensor_bytes;
};
static_assert(sizeof(Tables) == 24, "benches/step/case.rs: Tables");

__device__ __forceinline__ void update_tile(const Tables& tables, const Record<Rule::SCALARS>& record) {
  const Tile tile = load_row(tables.tiles + blockIdx.x);
  Step step = {};
  step.tensors = tables.tensors;
  step.tensor_bytes = tables.tensor_bytes;
  const Update<Rule, Untouched> functor = {Rule::scalars(record), GradientScalars{}};
  walk<Floats<Rule::STREAMS>::Type, VECTORS>(step, tile.tensor, tile.place, functor);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR)
    update_by_value(const Tables tables, const Record<Rule::SCALARS> record) {
  update_tile(tables, record);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR)
    update_filled(const Tables tables, const Record<Rule::SCALARS>* record) {
  update_tile(tables, load_row(record));
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR) update_literal(const Tables tables) {
  update_tile(tables, literal_record());
}
