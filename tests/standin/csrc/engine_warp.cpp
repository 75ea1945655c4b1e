// Block barriers and warp operations: who waits for whom, and what a GPU would leave undefined.
#include <cstring>

#include "engine_state.h"

namespace cuda_on_cpu::engine {
namespace {

constexpr u64 kPoison = ~0ull;  // what a lane outside the mask gives: a NaN, or an absurd integer

const char* name(WarpOperation operation) {
  switch (operation) {
    case WarpOperation::exchange: return "a shuffle";
    case WarpOperation::ballot: return "a vote";
    default: return "__syncwarp";
  }
}

std::string lanes_text(u32 mask) {
  std::string out = "lane";
  for (u32 i = 0; i < kWarpSize; i++)
    if (mask >> i & 1) out += " " + std::to_string(i);
  return out;
}

void finish(Block& block, u32 first_thread, const Meeting& meeting, u32 lanes, u32 last) {
  u64 votes = 0;
  if (meeting.operation == WarpOperation::ballot)
    for (u32 i = 0; i < kWarpSize; i++)
      if (lanes >> i & 1 && meeting.value[i]) votes |= 1ull << i;
  for (u32 i = 0; i < kWarpSize; i++) {
    if (!(lanes >> i & 1)) continue;
    const u32 source = meeting.source[i];
    const bool given = lanes >> source & 1;
    block.threads[first_thread + i].given = meeting.operation == WarpOperation::ballot ? votes
                                            : given                                    ? meeting.value[source]
                                                                                       : kPoison;
    if (i != last) wake(block, first_thread + i);
  }
}

// Waits until all lanes of `mask` have come, and returns what this one gets.
u64 meet(WarpOperation operation, u32 mask, u64 value, u32 source) {
  Block& block = *launch.block;
  Thread& self = *launch.thread;
  const u32 me = lane(), first_thread = self.number - me;
  Warp& warp = block.warps[self.number / kWarpSize];
  const u32 lanes = mask & warp.existing;  // a block's last warp may have fewer than 32
  if (!(mask >> me & 1)) stop(kLaunchFailed, std::string(name(operation)) + " whose mask lacks the lane that calls it");
  if (lanes & warp.exited)
    stop(kLaunchFailed,
         std::string(name(operation)) + " waits for " + lanes_text(lanes & warp.exited) + ", which returned");

  size_t at = 0;
  while (at < warp.meetings.size() && warp.meetings[at].mask != mask) at++;
  if (at == warp.meetings.size()) warp.meetings.push_back(Meeting{operation, mask, 0, {}, {}});
  Meeting& meeting = warp.meetings[at];
  if (meeting.operation != operation)
    stop(kLaunchFailed,
         std::string(name(operation)) + ", but other lanes of its mask are at " + name(meeting.operation));
  meeting.arrived |= 1u << me;
  meeting.value[me] = value;
  meeting.source[me] = source % kWarpSize;
  if ((meeting.arrived & lanes) == lanes) {
    finish(block, first_thread, meeting, lanes, me);
    warp.meetings.erase(warp.meetings.begin() + at);
    if (chance(4)) yield_ready();
  } else {
    yield_waiting(Wait::warp);
  }
  return self.given;
}

}  // namespace

void reset_warps(Block& block) {
  const u32 threads = block.threads.size();
  block.warps.resize((threads + kWarpSize - 1) / kWarpSize);
  for (u32 w = 0; w < block.warps.size(); w++) {
    const u32 lanes = threads - w * kWarpSize;
    block.warps[w].existing = lanes >= kWarpSize ? ~0u : (1u << lanes) - 1;
    block.warps[w].exited = 0;
    block.warps[w].meetings.clear();
  }
}

void leave_warp(Block& block, u32 thread) {
  Warp& warp = block.warps[thread / kWarpSize];
  const u32 bit = 1u << thread % kWarpSize;
  warp.exited |= bit;
  for (const Meeting& meeting : warp.meetings)
    if (meeting.mask & bit)
      stop(kLaunchFailed, "this thread has returned, but " + lanes_text(meeting.arrived) +
                              " of its warp waits for it at " + name(meeting.operation));
}

std::string describe_wait(const Block& block, const Thread& thread) {
  if (thread.wait == Wait::block_barrier)
    return " waits at __syncthreads, " + std::string(block.barrier_file) + ":" + std::to_string(block.barrier_line) +
           ", where " + std::to_string(block.at_barrier) + " of " + std::to_string(block.threads.size()) +
           " threads are";
  const Warp& warp = block.warps[thread.number / kWarpSize];
  for (const Meeting& meeting : warp.meetings)
    if (meeting.arrived >> thread.number % kWarpSize & 1)
      return std::string(" waits at ") + name(meeting.operation) + " for " +
             lanes_text(meeting.mask & warp.existing & ~meeting.arrived);
  return " waits for its warp";
}

void block_barrier(const char* file, unsigned line) {
  Block& block = *launch.block;
  if (block.at_barrier == 0) {
    block.barrier_file = file;
    block.barrier_line = line;
  } else if (line != block.barrier_line || strcmp(file, block.barrier_file) != 0) {
    stop(kLaunchFailed, "divergent barrier: this thread is at __syncthreads, " + std::string(file) + ":" +
                            std::to_string(line) + ", others of its block at " + block.barrier_file + ":" +
                            std::to_string(block.barrier_line));
  }
  block.at_barrier++;
  if (block.exited && block.at_barrier + block.exited == block.threads.size())
    stop(kLaunchFailed, "divergent barrier: this thread waits at __syncthreads, " + std::string(file) + ":" +
                            std::to_string(line) + ", but " + std::to_string(block.exited) +
                            " threads of its block have returned");
  if (block.at_barrier < block.threads.size()) return yield_waiting(Wait::block_barrier);
  block.at_barrier = 0;
  for (Thread& thread : block.threads)
    if (thread.wait == Wait::block_barrier) wake(block, thread.number);
  yield_ready();
}

u64 exchange(u32 mask, u64 value, u32 source_lane) { return meet(WarpOperation::exchange, mask, value, source_lane); }

u32 ballot(u32 mask, bool predicate) { return static_cast<u32>(meet(WarpOperation::ballot, mask, predicate, 0)); }

void warp_barrier(u32 mask) { meet(WarpOperation::barrier, mask, 0, lane()); }

u32 lane() { return launch.thread->number % kWarpSize; }

u32 active_mask() {
  const Warp& warp = launch.block->warps[launch.thread->number / kWarpSize];
  return warp.existing & ~warp.exited;
}

}  // namespace cuda_on_cpu::engine
