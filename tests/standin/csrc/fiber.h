// A switch of stacks in user space, without a system call, and the stacks to switch to.
#pragma once
#include <cstddef>

namespace cuda_on_cpu::engine {

// Saves the registers that a call keeps, and where they lie, and goes on where `load` was saved.
extern "C" void cuda_on_cpu_switch(void** save, void* load);
// What a switch jumps to with the stack pointer at a saved place: a signal handler continues there.
extern "C" void cuda_on_cpu_resume();

constexpr size_t kStackBytes = 64 << 10;

// A saved place at the top of stack `number` from which a switch calls `entry`, which must not return. Stacks are made
// on first use, kept, and end at an inaccessible page. Null when out of memory.
void* fresh_stack(size_t number, void (*entry)());

// True if `p` lies in one of the stacks.
bool on_stack(const void* p);

}  // namespace cuda_on_cpu::engine
