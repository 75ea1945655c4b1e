// What the emitted programs call besides the curves: constants by place, and clocks. See src/program/emit.rs.
#pragma once
#include "curves.cuh"
#include "memory.cuh"

// Constants of a program, by place.
__device__ __forceinline__ u64 count(const u64* c, u32 i) { return load_row(c + i); }
__device__ __forceinline__ double real(const u64* c, u32 i) { return bits_to_double(load_row(c + i)); }

// Clocks.
__device__ __forceinline__ u64 until(u64 t, u64 end) { return t < end ? t : end; }
__device__ __forceinline__ u64 cycle(u64 t, u64 period, u64 end) { return t < end ? t % period : period; }
__device__ __forceinline__ u64 passed(u64 t, const u64* milestones, u32 len) {
  u64 n = 0;
  for (u32 i = 0; i < len; i++) n += load_row(milestones + i) <= t;
  return n;
}
