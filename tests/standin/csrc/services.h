// What a compiled kernel and the engine know of each other: the table of functions that the driver binds into a loaded
// module, and the record of each kernel that it finds there. Kernels include this through simt.h: no standard headers.
#pragma once

namespace cuda_on_cpu {

using u64 = unsigned long long;
using u32 = unsigned int;
using usize = decltype(sizeof 0);

// A row load is a load whose bytes are counted once a block: of a table that all threads read. So are those of a relaxed
// load; it may race with a store as long as its block stores nothing and does no atomic: nobody then knows what it saw.
// Relaxed loads and those past L1 see memory, the others what the block's L1 shows of it.
enum class Access : int { load, store, atomic, row_load, relaxed_load, load_past_l1, system_store };

// Where the thread that runs now stands; the engine rewrites it at every switch.
struct Position {
  u32 thread[3], block[3], block_dim[3], grid_dim[3];
};

struct Services {
  unsigned version;  // kServicesVersion; another one refuses to bind
  const Position* position;
  void (*access)(const void* p, unsigned bytes, Access kind);  // checks bounds, alignment, races; counts; may switch
  void (*load_past_l1)(const void* p, unsigned bytes);         // after `access`: the load that follows sees memory
  void (*barrier)(const char* file, unsigned line);            // __syncthreads, and where it stands
  void (*fence)();                                             // __threadfence, __threadfence_system
  void (*block_fence)();                                       // __threadfence_block
  void (*atomic_order)(const void* p);                         // after an atomic on p: orders blocks, may switch
  // Warp exchange: gives 8 bytes, waits for all lanes of `mask`, returns the 8 bytes of `source_lane` (0..31).
  u64 (*exchange)(u32 mask, u64 value, u32 source_lane);
  u32 (*ballot)(u32 mask, bool predicate);
  void (*warp_barrier)(u32 mask);
  u32 (*active_mask)();
  u32 (*lane)();
  void* (*dynamic_shared)();
  bool (*is_global)(const void* p);
  void (*pause)();  // __nanosleep: another thread may go on
  u64 (*clock)();
  void (*set_conditional)(u64 handle, u32 value);  // cudaGraphSetConditional
  void (*trap)(const char* why);  // ends the launch with an error
};
constexpr unsigned kServicesVersion = 4;

// Exported by a compiled module as `cuda_on_cpu_kernel_<name>`, one for each extern "C" kernel.
struct Kernel {
  const char* name;
  void (*body)(void** args);           // runs the kernel as the current thread; args as for cuLaunchKernel
  usize (*argument_size)(unsigned i);  // bytes of argument i; 0 past the last
  unsigned max_threads;                // of __launch_bounds__; 0 without it
  unsigned char* shared_begin;         // the section of its __shared__ variables: the engine swaps its bytes
  unsigned char* shared_end;           // when it switches from one block to another
  unsigned char* module_begin;         // the loaded image: __device__ and __constant__ variables lie in it
  unsigned char* module_end;
};

}  // namespace cuda_on_cpu
