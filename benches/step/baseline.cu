// The library's update without its resident schedule: what an engine launches that keeps the schedule on the host.
//
// The same walk, the same arithmetic, the same traffic per parameter, from the text that the library emits for the rule; no
// clock, no evaluating block and no ticket. The three kernels differ in where the step's scalars come from:
//   update_by_value: the launch's own arguments        update_filled: device memory, filled anew before each launch
//   update_literal: constants in the code; the floor that a schedule's cost is measured against
#include "generated.cuh"  // VECTORS, Variant0, Streams0, Gradients: emitted for one group that asks nothing of its gradients
#include "literal.cuh"    // literal_record: written by the bench

constexpr u32 BLOCKS_PER_MULTIPROCESSOR = 4;  // as in update.cu, so that the schedule is all that differs
static_assert(VECTORS == 2, "benches/step/case.rs: TILE");

struct Tables {
  const void* tensors;
  const u64* grads;
  const Tile* tiles;
  u32 tile_count;
  u32 tensor_bytes;
};
static_assert(sizeof(Tables) == 32, "benches/step/case.rs: Tables");

__device__ __forceinline__ void update_tile(const Tables& tables, const Record<Variant0::SCALARS>& record) {
  const Tile tile = load_row(tables.tiles + blockIdx.x);
  Step step = {};
  step.tensors = tables.tensors;
  step.grads = tables.grads;
  step.tensor_bytes = tables.tensor_bytes;
  Update<Variant0, Gradients> functor(step, record, GradientScalars{});
  walk<Streams0, VECTORS>(step, tile.tensor, tile.place, functor);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR)
    update_by_value(const Tables tables, const Record<Variant0::SCALARS> record) {
  update_tile(tables, record);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR)
    update_filled(const Tables tables, const Record<Variant0::SCALARS>* record) {
  update_tile(tables, load_row(record));
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR) update_literal(const Tables tables) {
  update_tile(tables, literal_record());
}
