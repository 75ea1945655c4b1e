// The only place for what exists on a GPU alone: each function is one PTX instruction or compiler hint, with a plain C++
// twin beside it for the CPU emulator that runs these kernels in tests (it defines CUDA_ON_CPU). A function of the driver
// has no twin: the emulator brings its own.
#pragma once
#include "halves.cuh"
#include "types.cuh"

// Sets the value that a conditional node of the graph tests in which the calling kernel runs. The driver's: NVRTC needs no
// header and no library for it, and in units that do not call it this line is nothing.
extern "C" __device__ void cudaGraphSetConditional(u64 handle, u32 value);

#ifndef CUDA_ON_CPU

// Tells the compiler that `p` points to global memory: LDG and STG instead of generic LD and ST.
#define ASSUME_GLOBAL(p) __builtin_assume(__isGlobal(p))

// A load that another block's relaxed store may race with: never cached in L1, never split.
__device__ __forceinline__ u64 load_relaxed(const u64* p) { u64 v; asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory"); return v; }

__device__ __forceinline__ u32 load_relaxed(const u32* p) { u32 v; asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory"); return v; }

__device__ __forceinline__ void store_relaxed(u64* p, u64 v) { asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory"); }
__device__ __forceinline__ void store_relaxed(u32* p, u32 v) { asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory"); }

// A store that other devices and the host see whole, in this device's memory or in theirs.
__device__ __forceinline__ void store_relaxed_system(u64* p, u64 v) { asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory"); }

// Counts up to `last`, then wraps to 0; returns the value before. Stores before it need fences of their own.
__device__ __forceinline__ u32 take_ticket(u32* p, u32 last) { u32 v; asm volatile("atom.relaxed.gpu.global.inc.u32 %0, [%1], %2;" : "=r"(v) : "l"(p), "r"(last) : "memory"); return v; }

// Adds, modulo 2^64; returns the value before.
__device__ __forceinline__ u64 add_relaxed(u64* p, u64 x) { u64 v; asm volatile("atom.relaxed.gpu.global.add.u64 %0, [%1], %2;" : "=l"(v) : "l"(p), "l"(x) : "memory"); return v; }

// A load that L1 does not answer: for what another block of this launch wrote.
template <class T>
__device__ __forceinline__ T load_past_l1(const T* p) { static_assert(sizeof(T) == 16, "one access"); const uint4 v = __ldcg((const uint4*)p); T row; memcpy(&row, &v, 16); return row; }

// Two elements of sixteen bits, the first one in the lower half, to nearest; and an f16 as it is. sm_75 has no instruction for pairs.
#if __CUDA_ARCH__ >= 800
__device__ __forceinline__ u32 bf16_pair_of(float lower, float upper) { u32 v; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(upper), "f"(lower)); return v; }
__device__ __forceinline__ u32 f16_pair_of(float lower, float upper) { u32 v; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(upper), "f"(lower)); return v; }
#else
__device__ __forceinline__ u32 bf16_pair_of(float lower, float upper) { return bf16_of(lower) | bf16_of(upper) << 16; }
__device__ __forceinline__ u32 f16_pair_of(float lower, float upper) { return f16_of(lower) | f16_of(upper) << 16; }
#endif
__device__ __forceinline__ float float_of_f16(u32 half) { float x; asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((u16)half)); return x; }

// Where the emulator counts, checks and reorders accesses; nothing on a GPU.
__device__ __forceinline__ void note_load(const void*, u32) {}
__device__ __forceinline__ void note_row_load(const void*, u32) {}
__device__ __forceinline__ void note_store(const void*, u32) {}

#else

#define ASSUME_GLOBAL(p) cuda_on_cpu::assume_global(p)
__device__ __forceinline__ u64 load_relaxed(const u64* p) { cuda_on_cpu::access(p, 8, cuda_on_cpu::Access::relaxed_load); return *p; }
__device__ __forceinline__ u32 load_relaxed(const u32* p) { cuda_on_cpu::access(p, 4, cuda_on_cpu::Access::relaxed_load); return *p; }
__device__ __forceinline__ void store_relaxed(u64* p, u64 v) { cuda_on_cpu::access(p, 8, cuda_on_cpu::Access::store); *p = v; }
__device__ __forceinline__ void store_relaxed(u32* p, u32 v) { cuda_on_cpu::access(p, 4, cuda_on_cpu::Access::store); *p = v; }
__device__ __forceinline__ void store_relaxed_system(u64* p, u64 v) { cuda_on_cpu::access(p, 8, cuda_on_cpu::Access::system_store); *p = v; }
__device__ __forceinline__ u32 take_ticket(u32* p, u32 last) { return atomicInc(p, last); }
__device__ __forceinline__ u64 add_relaxed(u64* p, u64 x) { return atomicAdd(p, x); }
__device__ __forceinline__ u32 bf16_pair_of(float lower, float upper) { return bf16_of(lower) | bf16_of(upper) << 16; }
__device__ __forceinline__ u32 f16_pair_of(float lower, float upper) { return f16_of(lower) | f16_of(upper) << 16; }
__device__ __forceinline__ float float_of_f16(u32 half) { return of_f16(half); }
template <class T>
__device__ __forceinline__ T load_past_l1(const T* p) { cuda_on_cpu::load_past_l1(p, sizeof(T)); return *p; }
__device__ __forceinline__ void note_load(const void* p, u32 bytes) { cuda_on_cpu::access(p, bytes, cuda_on_cpu::Access::load); }
__device__ __forceinline__ void note_row_load(const void* p, u32 bytes) { cuda_on_cpu::access(p, bytes, cuda_on_cpu::Access::row_load); }
__device__ __forceinline__ void note_store(const void* p, u32 bytes) { cuda_on_cpu::access(p, bytes, cuda_on_cpu::Access::store); }

#endif
