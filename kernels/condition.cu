// The stop flag as the condition of a WHILE node of a CUDA graph: a unit of its own, compiled for those who ask alone.
//
// `set_condition` is one thread. It reads 8 B of the control block, writes no memory, and sets what the node of `handle`
// tests before its next iteration: 1, or 0 once the stop flag is up (end.cuh, commit.cuh), or once that many updates in a row
// were skipped that the other flag was raised. Without the second, gradients that stay NaN would let the loop run for ever.
// It comes after the update in the stream, so it reads what that update's commit wrote.
#include "memory.cuh"
#include "state.cuh"

constexpr u32 THREADS = 1;  // src/optimizer/condition.rs has the same number

extern "C" __global__ void __launch_bounds__(THREADS) set_condition(const Condition condition) {
  const u32 ended = load_row(&condition.control->stop) | load_row(&condition.control->raised);
  cudaGraphSetConditional(condition.handle, ended == 0 ? 1u : 0u);
}
