// What the emitted programs call besides the curves: constants by place, and clocks. See src/program/emit.rs.
#pragma once
#include "curves.cuh"
#include "memory.cuh"

// Constants of a program, by place: in shared memory, or where the table lies.
__device__ __forceinline__ u64 count(const u64* c, u32 i) { return load_staged(c + i); }
__device__ __forceinline__ double real(const u64* c, u32 i) { return bits_to_double(load_staged(c + i)); }

// Clocks.
__device__ __forceinline__ u64 until(u64 t, u64 end) { return t < end ? t : end; }
__device__ __forceinline__ u64 after(u64 t, u64 start) { return t > start ? t - start : 0; }
__device__ __forceinline__ u64 cycle(u64 t, u64 period, u64 last) { return t <= last ? t % period : period; }

// How many of `len` steps in rising order are at most t.
__device__ __forceinline__ u32 passed(u64 t, const u64* steps, u32 len) {
  u32 low = 0, high = len;
#pragma unroll 1
  while (low < high) {
    const u32 middle = low + (high - low) / 2;
    if (count(steps, middle) <= t) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// values[i] from the i-th step on (i from 1), values[0] before.
__device__ __forceinline__ double piecewise_constant(u64 t, const u64* steps, const u64* values, u32 len) {
  return real(values, passed(t, steps, len));
}

// values[i] at the i-th step (i from 0), straight between, the nearest value outside.
__device__ __forceinline__ double piecewise_linear(u64 t, const u64* steps, const u64* values, u32 len) {
  const u32 i = passed(t, steps, len);
  if (i == 0) return real(values, 0);
  if (i == len) return real(values, i - 1);
  const u64 begin = count(steps, i - 1);
  return linear(real(values, i - 1), real(values, i), t - begin, count(steps, i) - begin);
}

// The same along half cosines.
__device__ __forceinline__ double piecewise_cosine(u64 t, const u64* steps, const u64* values, u32 len) {
  const u32 i = passed(t, steps, len);
  if (i == 0) return real(values, 0);
  if (i == len) return real(values, i - 1);
  const u64 begin = count(steps, i - 1);
  return cosine(real(values, i - 1), real(values, i), t - begin, count(steps, i) - begin);
}

// Smaller and larger; a NaN on the left stays.
__device__ __forceinline__ double smaller(double a, double b) { return b < a ? b : a; }
__device__ __forceinline__ double larger(double a, double b) { return b > a ? b : a; }
