// The library's update without its resident schedule: what an engine launches that keeps the schedule on the host.
//
// The same walk, the same arithmetic, the same traffic per parameter (adam.cuh, sgd.cuh); no clock, no evaluating block and
// no ticket. The three kernels differ in where the step's scalars come from:
//   update_by_value: the launch's own arguments        update_filled: device memory, filled anew before each launch
//   update_literal: constants in the code; the floor that a schedule's cost is measured against
#include "adam.cuh"
#include "sgd.cuh"
#include "walk.cuh"
#include "rule.cuh"  // Rule and literal_record: written by the bench

constexpr u32 THREADS = 256;  // as in update.cu, so that the schedule is all that differs
constexpr u32 BLOCKS_PER_MULTIPROCESSOR = 4;

static_assert(CHUNK == 2048, "benches/step/case.rs: CHUNK");

// Gradients go to the rule as they are.
using Untouched = GradientOptions<Norm::none, Clip::none, Factor::none, false, false, false, false>;

struct Tables {
  const Tensor* tensors;
  const Chunk* chunks;
  u32 chunk_count;
  u32 reserved;
};
static_assert(sizeof(Tables) == 24, "benches/step/case.rs: Tables");

// Warps take chunks in turn.
__device__ __forceinline__ void walk(const Tables& tables, const Record& record) {
  const u32 warps = gridDim.x * (THREADS / WARP);
  u32 i = blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP;
  while (i < tables.chunk_count) {
    const Chunk chunk = load_row(tables.chunks + i);
    const Tensor tensor = load_row(tables.tensors + chunk.tensor);
    visit_chunk(tensor, chunk.index, Update<Rule, Untouched>{Rule::scalars(record), GradientScalars{}});
    if (tables.chunk_count - i <= warps) break;  // i + warps could wrap
    i += warps;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR)
    update_by_value(const Tables tables, const Record record) {
  walk(tables, record);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR)
    update_filled(const Tables tables, const Record* record) {
  walk(tables, load_row(record));
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR) update_literal(const Tables tables) {
  walk(tables, literal_record());
}
