// What the parts of the stand-in know of each other: the driver (driver*.cpp) launches kernels on the SIMT engine
// (engine*.cpp), both share the registry of device memory (memory.cpp), and a compiled kernel (simt.h) reaches the
// engine through a table of functions that cuModuleLoadData binds into it. The library under test sees none of this.
//
// Files nvrtc*.cpp make libnvrtc.so, all other *.cpp make libcuda.so. libnvrtc.so finds simt.h and what it includes
// beside itself: every *.h is copied there.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "services.h"

namespace cuda_on_cpu {

enum Code : int {  // the CUresult values that the engine itself can produce
  kSuccess = 0,
  kOutOfMemory = 2,
  kIllegalAddress = 700,
  kMisalignedAddress = 716,
  kLaunchFailed = 719,
};

// ---- memory.cpp: every device (and pinned) allocation, with guard zones ---------------------------------------------

enum class Space { device, pinned };

constexpr size_t kDeviceMemory = size_t(8) << 30;  // what the device has; allocations past it fail
constexpr size_t kSparse = size_t(1) << 30;        // allocations from this size on may be sparse

// Gives the device that much memory and lets large allocations of it be pages that hold 0 and take no memory until they
// are written; for address space past what there is of memory. 0: as at first.
void set_sparse_memory(size_t bytes);
size_t device_memory();

// Page-aligned, surrounded by inaccessible pages, filled with NaN (0xFF bytes); null when out of memory or 0 bytes.
void* allocate(size_t bytes, Space space);
// Makes the pages inaccessible and never reuses them. False if `base` is not the start of a live allocation.
bool release(void* base);
// The live allocation that holds [p, p + bytes), or false. `base`, `size` and `space` may be null.
bool find(const void* p, size_t bytes, void** base, size_t* size, Space* space);
// Checks the byte pattern behind the end of every allocation. Returns a description of the first damage, once, or "".
std::string check_guard_zones();
// The same of the one allocation at `base`, before it is released.
std::string check_guard_zone(const void* base);
// Bytes of all live allocations of `space`.
size_t live_bytes(Space space);
// "8 bytes past the end of the 256-byte allocation 0x...", for reports.
std::string describe_address(const void* p);

// ---- engine*.cpp: runs one launch to its end ------------------------------------------------------------------------

struct Shape {
  u32 grid[3], block[3];
  size_t dynamic_shared;
  bool cooperative = false;  // all blocks in flight at once
};

// Several blocks in flight, threads switched in user space; returns kSuccess or what a GPU would report, and 719 for a
// fault that a GPU would hide (race, divergent barrier). `report` then says what, where and under which seed.
// Launches from several host threads run one after the other.
Code run(const Kernel& kernel, const Shape& shape, void** args, std::string* report);

// Lets launches with more blocks run the first and the last ones alone: the others never start. 0 and 0: all run.
void run_only(u32 first, u32 last);

// The table that cuModuleLoadData hands to the module's `cuda_on_cpu_bind`.
const Services* services();

// driver_conditional.cpp: sets the value of a conditional handle in the run of the graph that the running kernel belongs
// to. False if that run has no such handle.
bool set_conditional(u64 handle, u32 value);

// One random generator for everything (when queued work runs, which thread goes on); the seed is printed once.
void set_seed(u64 seed);
u64 seed();
u32 random_below(u32 n);

// Bytes moved by kernels' plain loads and stores through the access hook, by access width in bytes (1, 2, 4, 8, 16).
u64 traffic(bool store, unsigned width);
void reset_traffic();

}  // namespace cuda_on_cpu
