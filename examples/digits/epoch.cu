// How long the WHILE node around the steps of an epoch goes on. A unit of its own, of one thread per kernel: a driver or an
// NVRTC without conditional nodes refuses it, and the kernels of digits.cu do without it.
// `handle` is the node's. Both read 12 B at most and write no memory.

#include "network.h"  // STEPS_PER_EPOCH: written by network.rs

using u32 = unsigned int;
using u64 = unsigned long long;

// The driver's: the value that the node tests before its next round.
extern "C" __device__ void cudaGraphSetConditional(u64 handle, u32 value);

// Before the node: it left with 0 the last time, and an epoch has at least one step.
extern "C" __global__ void begin_epoch(u64 handle) { cudaGraphSetConditional(handle, 1); }

// After each update: `t` have been applied, and `stop` is up once the training has had all of its steps, which may cut its
// last epoch short. Both are the optimizer's.
extern "C" __global__ void continue_epoch(const u64* t, const u32* stop, u64 handle) {
    const bool ended = *stop != 0 || *t % STEPS_PER_EPOCH == 0;
    cudaGraphSetConditional(handle, ended ? 0 : 1);
}
