// The norm of all gradients, and whether one of them is not finite. Reads the gradients alone: 4 B per parameter, or 2 B of 16
// bits, and 16 B a tile and 48 B a tensor beside; writes 16 B a tile.
//
// In the order of sums.cuh, all in f64: the square of an f32 is exact there. 2-norm: fma(x, x, sum); 1-norm: sum + |x|;
// maximum: the larger, a NaN stays.
#pragma once
#include "sums.cuh"

template <Norm NORM>
__device__ __forceinline__ double magnitude_added(double sum, float g) {
  const double x = (double)g;
  if constexpr (NORM == Norm::two) return fma(x, x, sum);
  if constexpr (NORM == Norm::one) return sum + fabs(x);
  return sums_added<NORM>(sum, fabs(x));
}

// Gathers the sums of spans.
template <Norm NORM>
struct Squares : Functor {
  static constexpr u32 LOADS = GRAD, STORES = 0;
  Partial* sums;  // where the sums of a pack's tensors go; null for a tile
  Total<NORM, 1> span = {};  // of this lane's elements
  Total<NORM, 1> kept = {};

  __device__ __forceinline__ explicit Squares(Partial* to) : sums(to) {}
  __device__ __forceinline__ void element(float (&x)[Gradient<f32>::COUNT]) {
    span.sum[0] = magnitude_added<NORM>(span.sum[0], x[GRAD_AT]);
    span.found |= is_finite(x[GRAD_AT]) ? 0 : 1;
  }
  __device__ __forceinline__ void after_span(u64 at) { keep_span(span, kept, at); }
  // Tensors of a pack have one block.
  template <class Row>
  __device__ __forceinline__ void after_tensor(const Row& tensor) {
    if (sums == nullptr) return;
    const Total<NORM, 1> all = lanes_added(kept, WARPS / 2);
    if (threadIdx.x % WARP == 0) store_total(sums, tensor.slot, all);
    kept = {};
  }
  // It adds nothing.
  template <class Row>
  __device__ __forceinline__ void rest(const Row& tensor) {
    if (tensor.slot != NO_SLOT) after_tensor(tensor);
  }
};

// Shared memory of the norm launch.
template <Norm NORM>
struct alignas(16) NormScratch : SumScratch<NORM, 1> {
  Facts facts;  // for the block that judges
};

// What follows from the sum of all gradients. By one thread.
template <class O>
__device__ __forceinline__ void judge_all(const Step& step, const Facts& facts, double sum, u32 found) {
  Control* control = step.control;
  double scaled = O::NORM == Norm::two ? sqrt(sum) : sum;
  if (step.norm_square != nullptr) scaled = sqrt((double)facts.norm_square);
  const Verdict verdict = judge<O>(facts.settings, scaled, unscale(step, facts), calls(step, facts));
  store_row(&control->norm, verdict.norm);
  store_row(&control->clip_factor, (float)verdict.clip);
  store_row(&control->factor, verdict.factor);
  store_row(&control->found, found);
  store_row(&control->norm_call, (u32)facts.control.calls);
}

// The block whose sums the root adds next will judge: one thread loads what it needs, beside those sums.
template <Norm NORM>
__device__ __forceinline__ void prepare_to_judge(const Step& step, NormScratch<NORM>& scratch, u32 parent) {
  if (parent == ROOT && threadIdx.x == THREADS - WARP) scratch.facts = all_facts(step);
}

// The whole launch, by all its blocks. The tiles lie from the last to the first: what the update reads first is then what
// was read last, and in L2.
template <class O>
__device__ __forceinline__ void sum_gradients(const Step& step, NormScratch<O::NORM>& scratch) {
  constexpr Norm NORM = O::NORM;
  const u32 tiles = load_row(&step.counts->norm_tiles);
  const NormTile tile = load_row(step.norm_tiles + blockIdx.x);
  // As in `update`: this branch waits for both.
  if (static_cast<bool>((blockIdx.x >= tiles) | (tile.tensor == NO_TENSOR))) {
    if (tiles == 0 && blockIdx.x == 0 && threadIdx.x == 0) judge_all<O>(step, all_facts(step), 0.0, 0);
    return;
  }
  const bool pack = (tile.place & PACK) != 0;
  prepare_to_judge(step, scratch, tile.parent);
  Squares<NORM> squares(pack ? step.sums : nullptr);
  walk_gradient<GRAD_TYPES, NORM_VECTORS>(step, tile.tensor, tile.place, squares);

  Total<NORM, 1> sum = {};
  if (!pack) {
    sum = block_added<NORM, 1>(scratch, squares.kept);
    if (threadIdx.x == 0) store_total(step.sums, tile.slot, sum);
  }
  u32 parent = tile.parent;
#pragma unroll 1
  while (parent != ROOT) {
    const Node node = load_row(step.nodes + parent);
    if (!arrives_last<NORM, 1>((u32*)(step.ticket + 1) + parent, scratch, node.arrivals)) return;
    prepare_to_judge(step, scratch, node.parent);
    sum = node_added<NORM, 1>(step.sums, scratch, node);
    if (threadIdx.x == 0) store_total(step.sums, node.slot, sum);
    parent = node.parent;
  }
  if (threadIdx.x == 0) judge_all<O>(step, scratch.facts, sum.sum[0], sum.found);
}
