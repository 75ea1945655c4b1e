// The norm of all gradients, and whether one of them is not finite. Reads the gradients alone: in f32 4 B per parameter, and
// 16 B a tile and a tensor beside; writes 16 B a tile.
//
// The order of summation follows from the list of tensors alone, never from tiles, threads, grid or device. All in f64: the
// square of an f32 is exact there.
//   A block is 4,096 elements of one tensor, from element 0. Each of its 8 spans of 512: lane l of 32 adds the elements i with
//   (i / 4) % 32 == l, i rising, each as fma(x, x, sum) (1-norm: sum + |x|; maximum: the larger, a NaN stays); lanes in pairs
//   16, 8, 4, 2, 1 apart. Spans in pairs 4, 2, 1 apart.
//   Levels: 1,024 blocks to a section, sections to a tensor, tensors to a group, groups to all. On each level adder k of 256
//   adds the places k, k + 256, ...; adders are added in pairs 16, 8, 4, 2, 1, and then 128, 64, 32 apart.
// A place that holds nothing, such as a tensor without elements, adds 0, which changes no bit; a level of one place is that
// place. Whichever block brings the last sum of a level adds it: no level waits for the end of the launch.
// Source of the pattern: the fence and ticket of CUDA's threadFenceReduction.
#pragma once
#include "gradients.cuh"
#include "walk.cuh"

constexpr u32 NORM_VECTORS = 4;                           // a thread's share of a block, all of it in flight
constexpr u32 NORM_SPAN = NORM_VECTORS * WARP * VECTOR;   // part of the order of summation, as are the next two:
constexpr u32 NORM_BLOCK = WARPS * NORM_SPAN;             // never tuned
constexpr u32 ADDERS = 256;
static_assert(NORM_SPAN == 512 && NORM_BLOCK == 4096, "src/plan/layout.rs: NORM_BLOCK; src/host/gradients.rs");
static_assert(THREADS == ADDERS, "one adder a thread");

template <Norm NORM>
__device__ __forceinline__ double sums_added(double a, double b) {
  if constexpr (NORM == Norm::max) return b <= a ? a : (a == a ? b : a);
  return a + b;
}

template <Norm NORM>
__device__ __forceinline__ double magnitude_added(double sum, float g) {
  const double x = (double)g;
  if constexpr (NORM == Norm::two) return fma(x, x, sum);
  if constexpr (NORM == Norm::one) return sum + fabs(x);
  return sums_added<NORM>(sum, fabs(x));
}

// Adds the sums of 2 * apart lanes, in pairs apart, apart / 2, ... 1 apart: the same in each of them.
template <Norm NORM>
__device__ __forceinline__ Partial lanes_added(Partial mine, u32 apart) {
#pragma unroll
  for (; apart > 0; apart /= 2) {
    mine.sum = sums_added<NORM>(mine.sum, __shfl_xor_sync(0xffffffffu, mine.sum, apart));
    mine.found |= __shfl_xor_sync(0xffffffffu, mine.found, apart);
  }
  return mine;
}

// Gathers the sums of spans: lane k of a warp keeps that of span k of a block.
template <Norm NORM>
struct Squares {
  static constexpr u32 LOADS = GRAD, STORES = 0;
  Partial* sums;      // where the sums of a pack's tensors go; null for a tile
  Partial span = {};  // of this lane's elements
  Partial kept = {};

  __device__ __forceinline__ void element(float (&x)[Gradient::COUNT]) {
    span.sum = magnitude_added<NORM>(span.sum, x[GRAD_AT]);
    span.found |= is_finite(x[GRAD_AT]) ? 0 : 1;
  }
  __device__ __forceinline__ void after_span(u64 at) {
    span = lanes_added<NORM>(span, WARP / 2);
    if (threadIdx.x % WARP == at / NORM_SPAN % WARPS) kept = span;
    span = {};
  }
  // Tensors of a pack have one block.
  __device__ __forceinline__ void after_tensor(u32 slot) {
    if (sums == nullptr) return;
    const Partial all = lanes_added<NORM>(kept, WARPS / 2);
    if (threadIdx.x % WARP == 0) store_row(sums + slot, all);
    kept = {};
  }
};

// Shared memory of the norm launch.
struct alignas(16) NormScratch {
  Partial warps[WARPS];
  Facts facts;  // for the block that judges
  u32 last;
};

// Adds what lane k of warp k holds, for the k of all warps: the same for all threads of the block.
template <Norm NORM>
__device__ __forceinline__ Partial block_added(NormScratch& scratch, const Partial& mine) {
  const u32 warp = threadIdx.x / WARP;
  __syncthreads();  // whoever read the sums of the level below is done
  if (threadIdx.x % WARP == warp) scratch.warps[warp] = mine;
  __syncthreads();  // each warp reads the sums of all
  return lanes_added<NORM>(scratch.warps[threadIdx.x % WARPS], WARPS / 2);
}

// What a node adds, which other blocks of this launch wrote: one adder a thread.
template <Norm NORM>
__device__ __forceinline__ Partial node_added(const Step& step, NormScratch& scratch, const Node& node) {
  Partial mine = {};
#pragma unroll 4
  for (u32 i = threadIdx.x; i < node.count; i += ADDERS) {
    const Partial sum = load_shared_row(step.sums + node.first + i);
    mine.sum = sums_added<NORM>(mine.sum, sum.sum);
    mine.found |= sum.found;
  }
  return block_added<NORM>(scratch, lanes_added<NORM>(mine, WARP / 2));
}

// Whether this block, whose sums are stored, is the last one that `node` waits for.
__device__ __forceinline__ bool arrives_last(const Step& step, NormScratch& scratch, u32 node, u32 arrivals) {
  __syncthreads();  // thread 0 takes the ticket for all sums of this block
  if (threadIdx.x == 0) {
    __threadfence();  // this block's sums come before its ticket
    scratch.last = take_ticket((u32*)(step.ticket + 1) + node, arrivals - 1) == arrivals - 1;
    __threadfence();  // all sums of the node come after its last ticket
  }
  __syncthreads();  // all threads learn whether this block is the last
  return scratch.last != 0;
}

// What follows from the sum of all gradients. By one thread.
template <class O>
__device__ __forceinline__ void judge_all(const Step& step, const Facts& facts, const Partial& all) {
  Control* control = step.control;
  double scaled = O::NORM == Norm::two ? sqrt(all.sum) : all.sum;
  if (step.norm_square != nullptr) scaled = sqrt((double)facts.norm_square);
  const Verdict verdict = judge<O>(facts.settings, scaled, unscale(step, facts), calls(step, facts));
  store_row(&control->norm, verdict.norm);
  store_row(&control->clip_factor, (float)verdict.clip);
  store_row(&control->factor, verdict.factor);
  store_row(&control->found, all.found);
  store_row(&control->norm_call, (u32)facts.control.calls);
}

// The block whose sums the root adds next will judge: one thread loads what it needs, beside those sums.
__device__ __forceinline__ void prepare_to_judge(const Step& step, NormScratch& scratch, u32 parent) {
  if (parent == ROOT && threadIdx.x == THREADS - WARP) scratch.facts = all_facts(step);
}

// The whole launch, by all its blocks. The tiles lie from the last to the first: what the update reads first is then what
// was read last, and in L2.
template <class O>
__device__ __forceinline__ void sum_gradients(const Step& step, NormScratch& scratch) {
  constexpr Norm NORM = O::NORM;
  const u32 tiles = load_row(&step.counts->norm_tiles);
  const NormTile tile = load_row(step.norm_tiles + blockIdx.x);
  // As in `update`: this branch waits for both.
  if (static_cast<bool>((blockIdx.x >= tiles) | (tile.tensor == NO_TENSOR))) {
    if (tiles == 0 && blockIdx.x == 0 && threadIdx.x == 0) judge_all<O>(step, all_facts(step), {});
    return;
  }
  const bool pack = (tile.place & PACK) != 0;
  prepare_to_judge(step, scratch, tile.parent);
  Squares<NORM> squares = {pack ? step.sums : nullptr};
  walk<Gradient, NORM_VECTORS>(step, tile.tensor, tile.place, squares);

  Partial sum = {};
  if (!pack) {
    sum = block_added<NORM>(scratch, squares.kept);
    if (threadIdx.x == 0) store_row(step.sums + tile.slot, sum);
  }
  u32 parent = tile.parent;
#pragma unroll 1
  while (parent != ROOT) {
    const Node node = load_row(step.nodes + parent);
    if (!arrives_last(step, scratch, parent, node.arrivals)) return;
    prepare_to_judge(step, scratch, node.parent);
    sum = node_added<NORM>(step, scratch, node);
    if (threadIdx.x == 0) store_row(step.sums + node.slot, sum);
    parent = node.parent;
  }
  if (threadIdx.x == 0) judge_all<O>(step, scratch.facts, sum);
}
