// The kernels of an optimizer.
//
// `update` applies one step to every tensor of every group and computes the next step's scalars, in one launch. Traffic per
// parameter is the rule's (adam.cuh, sgd.cuh), +4 B if gradients are zeroed, plus 136 B per chunk of 2,048 elements for the
// tables.
// It also writes 72 B and more to the telemetry ring, if there is one (telemetry.cuh).
// `gradient_norm` comes before it where something must be known of all gradients first: 4 B per parameter.
// `observe` feeds a metric to the state machines of the half that the current step reads, and evaluates it anew.
// `prime` fills the half that the current step reads; it runs at build. `edit` does so after it wrote constants.
//
// A gradient that is not finite: with the policy to skip, or a found_inf that the engine hands in, no parameter and no
// state is written, and the step is not advanced but counted as skipped. Otherwise it propagates.
#include "adam.cuh"
#include "program.cuh"
#include "sgd.cuh"
#include "walk.cuh"
// These use what stands above.
#include "generated.cuh"
#include "edit.cuh"
#include "evaluate.cuh"
#include "commit.cuh"
#include "end.cuh"
#include "metric.cuh"
#include "norm.cuh"
#include "telemetry.cuh"

constexpr u32 THREADS = 256;  // not tuned on a GPU yet; src/optimizer/cuda.rs has the same number
constexpr u32 BLOCKS_PER_MULTIPROCESSOR = 4;  // 1,024 resident threads: at most 64 registers

// Warps take chunks in turn.
template <class Visit>
__device__ __forceinline__ void walk(const Step& step, Visit visit) {
  const u32 warps = (gridDim.x - 1) * (THREADS / WARP);
  u32 i = (blockIdx.x - 1) * (THREADS / WARP) + threadIdx.x / WARP;
  while (i < step.chunk_count) {
    const Chunk chunk = load_row(step.chunks + i);
    visit(load_row(step.tensors + chunk.tensor), chunk.index);
    if (step.chunk_count - i <= warps) break;  // i + warps could wrap
    i += warps;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR) update(const Step step) {
  const u64 t = load_relaxed(&step.control->t);
  if (!accumulates<Gradients>(step)) {
    if (blockIdx.x == 0) {
      carry_metrics<THREADS>(step, t);
      if constexpr (Features::OBSERVES) observe_in_step<THREADS>(step, t + 1);
      evaluate<THREADS>(step, t + 1, load_row(&step.control->progress) + load_row(&step.control->increment));
      if constexpr (Features::TELEMETRY) note_call<THREADS, Gradients>(step, t);
      if constexpr (Features::STOPS) look_for_end(step, t + 1);
    } else if (!skips<Gradients>(step)) {
      walk(step, [&](const Tensor& tensor, u32 index) {
        // Loaded and computed anew for each chunk: fewer registers are alive in between.
        const Record* records = step.records + (load_row(&step.control->t) & 1) * step.cohort_count;
        const GradientScalars gradient = gradient_scalars<Gradients>(step);
        update_variant(tensor.variant, tensor, index, load_row(records + tensor.cohort), gradient);
      });
    } else if constexpr (Gradients::ZERO) {
      walk(step, [](const Tensor& tensor, u32 index) { visit_chunk(tensor, index, Zero{}); });
    }
  }

  __syncthreads();  // thread 0 speaks for the whole block: all its threads have read t and this step's records
  if (threadIdx.x == 0) {
    if (Features::STOPS && blockIdx.x == 0) __threadfence();  // what this block found of the end comes before its ticket
    if (take_ticket(&step.control->ticket, gridDim.x - 1) == gridDim.x - 1) {
      if (Features::STOPS) __threadfence();  // and is seen after the last ticket
      commit<Gradients, Features>(step);
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR) gradient_norm(const Step step) {
  __shared__ double sums[ADDERS];
  __shared__ u32 founds[ADDERS];
  __shared__ u32 last;
  if constexpr (Gradients::NORM != Norm::none) {
    if (accumulates<Gradients>(step)) return;
    const u32 warps = gridDim.x * (THREADS / WARP);
    u32 i = blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP;
    while (i < step.norm_block_count) {
      const NormBlock block = load_row(step.norm_blocks + i);
      const Partial partial = norm_of_block<Gradients::NORM>(load_row(step.tensors + block.tensor), block.index);
      if (threadIdx.x % WARP == 0) store_row(step.partials + i, partial);
      if (step.norm_block_count - i <= warps) break;  // i + warps could wrap
      i += warps;
    }

    __syncthreads();  // thread 0 takes the ticket for all partials of this block
    if (threadIdx.x == 0) {
      __threadfence();  // this block's partials come before its ticket
      last = take_ticket(&step.control->norm_ticket, gridDim.x - 1) == gridDim.x - 1;
      __threadfence();  // all partials come after the last ticket
    }
    __syncthreads();  // all threads learn whether this block is the last
    if (!last) return;

    static_assert(THREADS == ADDERS, "one adder a thread");
    const Partial partial = norm_of_adder<Gradients::NORM>(step, threadIdx.x);
    sums[threadIdx.x] = partial.sum;
    founds[threadIdx.x] = partial.found;
    __syncthreads();  // the first half of the adders reads the second half's sums
    for (u32 apart = ADDERS / 2; apart > 0; apart /= 2) {
      if (threadIdx.x < apart) {
        sums[threadIdx.x] = sums_added<Gradients::NORM>(sums[threadIdx.x], sums[threadIdx.x + apart]);
        founds[threadIdx.x] |= founds[threadIdx.x + apart];
      }
      __syncthreads();  // as above, for the next halving
    }
    if (threadIdx.x == 0) {
      Control* control = step.control;
      double scaled = Gradients::NORM == Norm::two ? sqrt(sums[0]) : sums[0];
      if (step.norm_square != nullptr) scaled = sqrt((double)load_row(step.norm_square));
      const Verdict verdict = judge<Gradients>(load_row(step.settings), scaled, unscale(step, control), calls(control));
      store_row(&control->norm, verdict.norm);
      store_row(&control->clip_factor, (float)verdict.clip);
      store_row(&control->factor, verdict.factor);
      store_row(&control->found, founds[0]);
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) prime(const Step step) {
  const u64 t = load_relaxed(&step.control->t);
  evaluate<THREADS>(step, t, load_row(&step.control->progress));
  stop_if_end<Features>(step, t, End::below);  // what held before is unknown: no rate falls by this
}

extern "C" __global__ void __launch_bounds__(THREADS) observe(const Observation observation) {
  const Step& step = observation.step;
  const u64 t = load_relaxed(&step.control->t);
  const u64 before = load_relaxed(&step.control->end[t & 1]);
  observe_all<THREADS>(step, t, metric_of(observation));
  __syncthreads();  // cohorts read the scales of all threads
  evaluate<THREADS>(step, t, load_row(&step.control->progress));
  stop_if_end<Features>(step, t, before);
}

extern "C" __global__ void __launch_bounds__(THREADS) edit(const Edit edit) {
  write_constants<THREADS>(edit);
  if (edit.flags & Edit::evaluate_anew) {
    const u64 t = load_relaxed(&edit.step.control->t);
    const u64 before = load_relaxed(&edit.step.control->end[t & 1]);
    evaluate<THREADS>(edit.step, t, load_row(&edit.step.control->progress));
    stop_if_end<Features>(edit.step, t, before);
  }
}
