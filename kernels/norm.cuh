// The norm of all gradients, and whether one of them is not finite. grad: f32[len] per tensor. Reads 4 B per parameter.
//
// The order of summation follows from the list of tensors alone, never from chunks, threads, grid or device:
//   A block is 4,096 elements of one tensor. Lane l of 32 adds the elements i with (i / 4) % 32 == l, i rising, each as
//   fma(x, x, sum) (1-norm: sum + |x|; maximum: the larger, a NaN stays); lanes are added in pairs 16, 8, 4, 2, 1 apart.
//   Blocks, in the order of the tensors: adder k of 256 adds the blocks k, k + 256, ...; adders in pairs 128, ... 1 apart.
// All in f64: the square of an f32 is exact there. Source of the pattern: the fence and ticket of CUDA's threadFenceReduction.
#pragma once
#include "gradients.cuh"

constexpr u32 ADDERS = 256;  // part of the order of summation: never tuned

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

// The sum of one block, by one warp; the same in every lane.
template <Norm NORM>
__device__ __forceinline__ Partial norm_of_block(const Tensor& tensor, u32 index) {
  const u32 lane = threadIdx.x % WARP;
  const u64 begin = (u64)index * NORM_BLOCK;
  const u64 rest = tensor.len - begin;
  const u32 len = rest < NORM_BLOCK ? (u32)rest : NORM_BLOCK;
  const float* grad = tensor.grad + begin;
  const bool aligned = ((u64)grad & 15) == 0;

  double sum = 0.0;
  bool found = false;
#pragma unroll 2
  for (u32 i = 4 * lane; i < len; i += 4 * WARP) {
    float g[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    u32 count = 4;
    if (aligned && i + 4 <= len) {
      const float4 v = load_element((const float4*)(grad + i));
      g[0] = v.x;
      g[1] = v.y;
      g[2] = v.z;
      g[3] = v.w;
    } else {
      count = len - i < 4 ? len - i : 4;
#pragma unroll
      for (u32 k = 0; k < 4; k++) {
        if (k < count) g[k] = load_element(grad + i + k);
      }
    }
#pragma unroll
    for (u32 k = 0; k < 4; k++) {
      if (k < count) sum = magnitude_added<NORM>(sum, g[k]);
      found = found || !is_finite(g[k]);
    }
  }
#pragma unroll
  for (u32 apart = WARP / 2; apart > 0; apart /= 2) {
    sum = sums_added<NORM>(sum, __shfl_xor_sync(0xffffffffu, sum, apart));
  }
  const u32 any = __any_sync(0xffffffffu, found) ? 1 : 0;
  return {sum, any, 0};
}

// What adder `k` gets from the blocks' partials, which other blocks of this launch wrote.
template <Norm NORM>
__device__ __forceinline__ Partial norm_of_adder(const Step& step, u32 k) {
  Partial all = {0.0, 0, 0};
  for (u32 i = k; i < step.norm_block_count; i += ADDERS) {
    const Partial partial = load_shared_row(step.partials + i);
    all.sum = sums_added<NORM>(all.sum, partial.sum);
    all.found |= partial.found;
  }
  return all;
}
