// The only ways to global memory (besides the relaxed and atomic ones in ptx.cuh). A kernel that touches memory past these
// helpers escapes the byte counts and the race checks of the tests.
//
// No `.nc` load anywhere: parameters, state and tables are written in place between and during launches. No cache hint on
// elements: one on gradients costs 1 % of the step, H100.
#pragma once
#include "ptx.cuh"

// Table rows, constants, resolved records: read by many, written by nobody during this launch. Counted once a block.
template <class T>
__device__ __forceinline__ T load_row(const T* p) {
  ASSUME_GLOBAL(p);
  for (u32 i = 0; i < sizeof(T); i += alignof(T)) note_row_load((const char*)p + i, alignof(T));
  return *p;
}

// The same where the row may lie in shared memory.
template <class T>
__device__ __forceinline__ T load_staged(const T* p) {
  for (u32 i = 0; i < sizeof(T); i += alignof(T)) note_row_load((const char*)p + i, alignof(T));
  return *p;
}

// Rows that another block of this launch wrote, before a fence that came before this load: not from L1.
template <class T>
__device__ __forceinline__ T load_shared_row(const T* p) {
  ASSUME_GLOBAL(p);
  for (u32 i = 0; i < sizeof(T); i += alignof(T)) note_load((const char*)p + i, alignof(T));
  return load_past_l1(p);
}

// Elements, one or a vector of them.
template <class T>
__device__ __forceinline__ T load_element(const T* p) {
  ASSUME_GLOBAL(p);
  note_load(p, sizeof(T));
  return *p;
}

// An element that all lanes of a warp load. Counted once a block.
template <class T>
__device__ __forceinline__ T load_common(const T* p) {
  ASSUME_GLOBAL(p);
  note_row_load(p, sizeof(T));
  return *p;
}

template <class T>
__device__ __forceinline__ void store_element(T* p, T value) {
  ASSUME_GLOBAL(p);
  note_store(p, sizeof(T));
  *p = value;
}

// Words that the host may read at any time, here or in its own memory.
__device__ __forceinline__ void store_word(u64* p, u64 value) {
  ASSUME_GLOBAL(p);
  store_relaxed_system(p, value);  // which notes it
}

// Results of the evaluation, read by the next launch.
template <class T>
__device__ __forceinline__ void store_row(T* p, T value) {
  ASSUME_GLOBAL(p);
  for (u32 i = 0; i < sizeof(T); i += alignof(T)) note_store((char*)p + i, alignof(T));
  *p = value;
}

// The same where the row may lie in shared memory.
template <class T>
__device__ __forceinline__ void store_staged(T* p, T value) {
  for (u32 i = 0; i < sizeof(T); i += alignof(T)) note_store((char*)p + i, alignof(T));
  *p = value;
}
