// What a CUDA kernel sees in place of NVRTC's built-in declarations. No standard header is included: a kernel must not
// see more than NVRTC shows it. `__global__`, `__shared__` and `__launch_bounds__` are rewritten by nvrtc_kernels.cpp.
// Not here: __syncthreads_or and its kin, __match_*, __reduce_*, textures, cooperative groups, half and bfloat16 types.
#pragma once
#include "services.h"

#define __device__
#define __host__
#define __constant__ __attribute__((visibility("default")))
// A hint here: what is inlined everywhere takes two and a half times as long to compile, and runs no faster under the engine's hooks.
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__

using size_t = decltype(sizeof 0);
extern "C" int printf(const char* format, ...);
extern "C" void* memcpy(void* to, const void* from, size_t bytes);
extern "C" void* memset(void* to, int byte, size_t bytes);

namespace cuda_on_cpu {

static const Services* services;

// Public: for a kernel's own helpers that touch global memory without __ldg and the like.
inline void access(const void* p, unsigned bytes, Access kind) { services->access(p, bytes, kind); }

// Public too: after `access` for a load, lets the plain load that follows pass L1.
inline void load_past_l1(const void* p, unsigned bytes) { services->load_past_l1(p, bytes); }

inline void assume(bool holds, const char* what) {
  if (!holds) services->trap(what);
}

// Calls a kernel from cuLaunchKernel's array of pointers to arguments, typed by the kernel itself.
template <class... A>
struct Invocation {
  Invocation(void (*kernel)(A...), A... argument) { kernel(argument...); }
};

template <class... A>
void call(void (*kernel)(A...), void** args) {
  Invocation<A...>{kernel, *static_cast<A*>(*args++)...};  // braces: from left to right
}

template <class... A>
usize argument_size(void (*)(A...), unsigned i) {
  const usize sizes[] = {sizeof(A)..., 0};
  return i < sizeof...(A) ? sizes[i] : 0;
}

}  // namespace cuda_on_cpu

extern "C" {
// The linker's names.
extern unsigned char __ehdr_start[] __attribute__((visibility("hidden")));
extern unsigned char _end[] __attribute__((visibility("hidden")));

__attribute__((visibility("default"), used)) bool cuda_on_cpu_bind(const cuda_on_cpu::Services* services) {
  if (services->version != cuda_on_cpu::kServicesVersion) return false;
  cuda_on_cpu::services = services;
  return true;
}
}

#define __builtin_assume(condition) ::cuda_on_cpu::assume(bool(condition), "assumption does not hold: " #condition)
#define __isGlobal(p) (::cuda_on_cpu::services->is_global(p))

namespace cuda_on_cpu {
// What a compiler that is told so would rely on.
inline void assume_global(const void* p) { assume(services->is_global(p), "a pointer that is assumed to be global is not"); }
}  // namespace cuda_on_cpu
inline void __trap() { ::cuda_on_cpu::services->trap("__trap"); }
inline void __nanosleep(unsigned) { ::cuda_on_cpu::services->pause(); }
inline long long clock64() { return ::cuda_on_cpu::services->clock(); }
// As the driver does for a GPU, for kernels that declare it themselves.
extern "C" inline void cudaGraphSetConditional(unsigned long long handle, unsigned int value) {
  ::cuda_on_cpu::services->set_conditional(handle, value);
}

#include "simt_types.h"

#include "simt_math.h"
#include "simt_memory.h"
#include "simt_warp.h"
