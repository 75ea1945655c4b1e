// The stop flag as the condition of a WHILE node of a CUDA graph: a unit of its own, compiled for those who ask alone.
//
// `set_condition` is one thread. It reads 16 B of the control block and sets what the node of `handle` tests before its next
// iteration: 1, or 0 once the stop flag is up (end.cuh, commit.cuh), or once that many updates in a row were skipped that the
// other flag was raised. Without the second, gradients that stay NaN would let the loop run for ever; and while parameters for
// evaluation are shown no update is made (show.cuh), so no end would come. With a bound it also
// counts its launches, 16 B, and ends the loop at the last one; the count then begins anew, for the graph's next launch.
// It comes after the update in the stream, so it reads what that update's commit wrote.
#include "memory.cuh"
#include "state.cuh"

constexpr u32 THREADS = 1;  // src/optimizer/condition.rs has the same number

extern "C" __global__ void __launch_bounds__(THREADS) set_condition(const Condition condition) {
  Control* control = condition.control;
  bool ended = (load_row(&control->stop) | load_row(&control->raised) | load_row(&control->shown) | load_row(&control->retired)) != 0;
  if (condition.launches != nullptr) {
    const u64 launches = load_row(condition.launches) + 1;
    if (!ended && launches >= condition.at_most) {
      store_row(&control->exhausted, 1u);
      ended = true;
    }
    store_row(condition.launches, ended ? (u64)0 : launches);
  }
  cudaGraphSetConditional(condition.handle, ended ? 0u : 1u);
}
