// The three kernels of an optimizer.
//
// `update` applies one step to every tensor of every group and computes the next step's scalars, in one launch. Traffic per
// parameter is the rule's (adam.cuh, sgd.cuh), plus 64 B per chunk of 2,048 elements for the tables.
// `prime` fills the half that the current step reads; it runs at build. `edit` does so after it wrote constants.
//
// found_inf != 0 (or NaN): no parameter and no state is written, and the step is not advanced but counted as skipped.
#include "adam.cuh"
#include "program.cuh"
#include "sgd.cuh"
#include "walk.cuh"
// These use what stands above.
#include "generated.cuh"
#include "edit.cuh"
#include "evaluate.cuh"

constexpr u32 THREADS = 256;  // not tuned on a GPU yet; src/optimizer/cuda.rs has the same number
constexpr u32 BLOCKS_PER_MULTIPROCESSOR = 4;  // 1,024 resident threads: at most 64 registers

// Whether the engine found this step's gradients unusable. A NaN counts as found.
__device__ __forceinline__ bool skipped(const Step& step) {
  return step.found_inf != nullptr && !(load_row(step.found_inf) == 0.0f);
}

// Runs once per launch, in the last block, after every other block has read all it needs: the only writer of `Control`.
__device__ __forceinline__ void commit(const Step& step) {
  Control* control = step.control;
  if (skipped(step)) {
    store_relaxed(&control->skipped, load_relaxed(&control->skipped) + 1);
  } else {
    store_relaxed(&control->t, load_relaxed(&control->t) + 1);
    store_relaxed(&control->progress, load_relaxed(&control->progress) + load_relaxed(&control->increment));
  }
}

// Warps take chunks in turn.
__device__ __forceinline__ void walk(const Step& step, const Record* records) {
  const u32 warps = (gridDim.x - 1) * (THREADS / WARP);
  u32 i = (blockIdx.x - 1) * (THREADS / WARP) + threadIdx.x / WARP;
  while (i < step.chunk_count) {
    const Chunk chunk = load_row(step.chunks + i);
    const Tensor tensor = load_row(step.tensors + chunk.tensor);
    update_variant(tensor.variant, tensor, chunk.index, load_row(records + tensor.cohort));
    if (step.chunk_count - i <= warps) break;  // i + warps could wrap
    i += warps;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR) update(const Step step) {
  const u64 t = load_relaxed(&step.control->t);
  if (blockIdx.x == 0) {
    evaluate<THREADS>(step, t + 1, load_row(&step.control->progress) + load_row(&step.control->increment));
  } else if (!skipped(step)) {
    walk(step, step.records + (t & 1) * step.cohort_count);
  }

  __syncthreads();  // thread 0 speaks for the whole block: all its threads have read t and this step's records
  if (threadIdx.x == 0 && take_ticket(&step.control->ticket, gridDim.x - 1) == gridDim.x - 1) commit(step);
}

extern "C" __global__ void __launch_bounds__(THREADS) prime(const Step step) {
  evaluate<THREADS>(step, load_relaxed(&step.control->t), load_row(&step.control->progress));
}

extern "C" __global__ void __launch_bounds__(THREADS) edit(const Edit edit) {
  write_constants<THREADS>(edit);
  if (edit.flags & Edit::evaluate_anew) {
    evaluate<THREADS>(edit.step, load_relaxed(&edit.step.control->t), load_row(&edit.step.control->progress));
  }
}
