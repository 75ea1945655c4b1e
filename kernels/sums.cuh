// Sums over all elements in a stated order, for the norm launch and the measuring launch. Writes 16 B a sum and tile.
//
// The order of summation follows from the list of tensors alone, never from tiles, threads, grid or device. All in f64: the
// square of an f32 is exact there.
//   A block is 4,096 elements of one tensor, from element 0. Each of its 8 spans of 512: lane l of 32 adds the elements i with
//   (i / 4) % 32 == l, i rising, each (norm.cuh, measure.cuh say how); lanes in pairs
//   16, 8, 4, 2, 1 apart. Spans in pairs 4, 2, 1 apart.
//   Levels: 1,024 blocks to a section, sections to a tensor, tensors to a group, groups to all. On each level adder k of 256
//   adds the places k, k + 256, ...; adders are added in pairs 16, 8, 4, 2, 1, and then 128, 64, 32 apart.
// A place that holds nothing, such as a tensor without elements, adds 0, which changes no bit; a level of one place is that
// place. Whichever block brings the last sum of a level adds it: no level waits for the end of the launch.
// Source of the pattern: the fence and ticket of CUDA's threadFenceReduction.
#pragma once
#include "gradients.cuh"
#include "walk.cuh"

constexpr u32 NORM_VECTORS = 4;                          // a thread's share of a block
constexpr u32 NORM_SPAN = NORM_VECTORS * WARP * VECTOR;  // part of the order of summation, as are the next two:
constexpr u32 NORM_BLOCK = WARPS * NORM_SPAN;            // never tuned
constexpr u32 ADDERS = 256;
static_assert(NORM_SPAN == 512 && NORM_BLOCK == 4096, "src/plan/layout.rs: NORM_BLOCK; src/host/gradients.rs");
static_assert(THREADS == ADDERS, "one adder a thread");

template <Norm NORM>
__device__ __forceinline__ double sums_added(double a, double b) {
  if constexpr (NORM == Norm::max) return b <= a ? a : (a == a ? b : a);
  return a + b;
}

// WIDTH sums of the same elements, and whether one of those is not finite, where that is looked for.
template <Norm NORM, u32 WIDTH>
struct Total {
  double sum[WIDTH];
  u32 found;
};

// Adds the sums of 2 * apart lanes, in pairs apart, apart / 2, ... 1 apart: the same in each of them.
template <Norm NORM, u32 WIDTH>
__device__ __forceinline__ Total<NORM, WIDTH> lanes_added(Total<NORM, WIDTH> mine, u32 apart) {
#pragma unroll
  for (; apart > 0; apart /= 2) {
#pragma unroll
    for (u32 k = 0; k < WIDTH; k++) {
      mine.sum[k] = sums_added<NORM>(mine.sum[k], __shfl_xor_sync(0xffffffffu, mine.sum[k], apart));
    }
    mine.found |= __shfl_xor_sync(0xffffffffu, mine.found, apart);
  }
  return mine;
}

// A row of sums is WIDTH times 16 B.
template <Norm NORM, u32 WIDTH>
__device__ __forceinline__ void store_total(Partial* sums, u32 slot, const Total<NORM, WIDTH>& total) {
#pragma unroll
  for (u32 k = 0; k < WIDTH; k++) store_row(sums + (u64)slot * WIDTH + k, Partial{total.sum[k], total.found, 0});
}

// The order that follows spans: lane k of a warp keeps that of span k of a block.
template <Norm NORM, u32 WIDTH>
__device__ __forceinline__ void keep_span(Total<NORM, WIDTH>& span, Total<NORM, WIDTH>& kept, u64 at) {
  span = lanes_added(span, WARP / 2);
  if (threadIdx.x % WARP == at / NORM_SPAN % WARPS) kept = span;
  span = {};
}

// Shared memory of a launch that sums.
template <Norm NORM, u32 WIDTH>
struct alignas(16) SumScratch {
  Total<NORM, WIDTH> warps[WARPS];
  u32 last;
};

// Adds what lane k of warp k holds, for the k of all warps: the same for all threads of the block.
template <Norm NORM, u32 WIDTH>
__device__ __forceinline__ Total<NORM, WIDTH> block_added(SumScratch<NORM, WIDTH>& scratch, const Total<NORM, WIDTH>& mine) {
  const u32 warp = threadIdx.x / WARP;
  __syncthreads();  // whoever read the sums of the level below is done
  if (threadIdx.x % WARP == warp) scratch.warps[warp] = mine;
  __syncthreads();  // each warp reads the sums of all
  return lanes_added(scratch.warps[threadIdx.x % WARPS], WARPS / 2);
}

// What a node adds, which other blocks of this launch wrote: one adder a thread.
template <Norm NORM, u32 WIDTH>
__device__ __forceinline__ Total<NORM, WIDTH> node_added(const Partial* sums, SumScratch<NORM, WIDTH>& scratch, const Node& node) {
  Total<NORM, WIDTH> mine = {};
#pragma unroll 4
  for (u32 i = threadIdx.x; i < node.count; i += ADDERS) {
#pragma unroll
    for (u32 k = 0; k < WIDTH; k++) {
      const Partial sum = load_shared_row(sums + (u64)(node.first + i) * WIDTH + k);
      mine.sum[k] = sums_added<NORM>(mine.sum[k], sum.sum);
      mine.found |= sum.found;
    }
  }
  return block_added(scratch, lanes_added(mine, WARP / 2));
}

// Whether this block, whose sums are stored, is the last one that a node waits for. `arrived`: blocks that came to it.
template <Norm NORM, u32 WIDTH>
__device__ __forceinline__ bool arrives_last(u32* arrived, SumScratch<NORM, WIDTH>& scratch, u32 arrivals) {
  __syncthreads();  // thread 0 takes the ticket for all sums of this block
  if (threadIdx.x == 0) {
    __threadfence();  // this block's sums come before its ticket
    scratch.last = take_ticket(arrived, arrivals - 1) == arrivals - 1;
    __threadfence();  // all sums of the node come after its last ticket
  }
  __syncthreads();  // all threads learn whether this block is the last
  return scratch.last != 0;
}
