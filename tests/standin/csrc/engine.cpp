// Runs one launch: starts blocks in ascending order, a few in flight at once, and draws by lot which thread goes on.
// A switch happens where a thread must wait, and at random at atomics, fences and accesses.
#include "engine.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>

#include "engine_state.h"
#include "fiber.h"

namespace cuda_on_cpu {
namespace engine {

Launch launch;
Position position;
bool running = false;

namespace {

// A spin that waits for a block that has not started would never end; far more turns than any kernel needs.
constexpr u64 kMostTurns = 20'000'000;
constexpr size_t kMostDynamicShared = 256 << 10;

std::vector<std::unique_ptr<Block>> slots;  // kept from launch to launch

u32 only_first = 0, only_last = 0;

// The block after those that were started.
u32 take_next_block() {
  const u32 next = launch.next_block++;
  const u32 chosen = only_first + only_last;
  if (chosen != 0 && launch.block_count > chosen && launch.next_block == only_first)
    launch.next_block = launch.block_count - only_last;
  return next;
}

size_t shared_bytes() { return launch.kernel->shared_end - launch.kernel->shared_begin; }

void unravel(u32 number, const u32* size, u32* index) {
  index[0] = number % size[0];
  index[1] = number / size[0] % size[1];
  index[2] = number / size[0] / size[1];
}

std::string tuple(const u32* index) {
  return "(" + std::to_string(index[0]) + "," + std::to_string(index[1]) + "," + std::to_string(index[2]) + ")";
}

void leave() {
  running = false;
  cuda_on_cpu_switch(&launch.thread->stack_pointer, launch.scheduler);
}

// The bottom of every thread's stack.
void enter() {
  launch.kernel->body(launch.args);
  Block& block = *launch.block;
  block.exited++;
  leave_warp(block, launch.thread->number);
  if (block.at_barrier && block.at_barrier + block.exited == block.threads.size())
    stop(kLaunchFailed, "divergent barrier: this thread has returned, but " + std::to_string(block.at_barrier) +
                            " threads of its block wait for it at __syncthreads, " + block.barrier_file + ":" +
                            std::to_string(block.barrier_line));
  leave();
  __builtin_trap();
}

// The dynamic shared memory of a slot ends at an inaccessible page.
unsigned char* dynamic_shared_of(size_t slot, size_t bytes) {
  static std::vector<unsigned char*> ends;
  while (ends.size() <= slot) {
    void* p = mmap(nullptr, kMostDynamicShared + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return nullptr;
    ends.push_back(static_cast<unsigned char*>(p) + kMostDynamicShared);
    mprotect(ends.back(), 4096, PROT_NONE);
  }
  return ends[slot] - (bytes + 15) / 16 * 16;
}

bool start_block(size_t slot, u32 number) {
  Block& block = *slots[slot];
  block.number = number;
  block.cache = slot % kCaches;
  unravel(number, launch.shape->grid, block.index);
  block.at_barrier = block.exited = 0;
  block.ready.clear();
  block.threads.resize(launch.threads_per_block);
  for (u32 t = 0; t < launch.threads_per_block; t++) {
    Thread& thread = block.threads[t];
    thread.stack_pointer = fresh_stack(slot * launch.threads_per_block + t, enter);
    if (!thread.stack_pointer) return false;
    thread.number = t;
    thread.wait = Wait::none;
    unravel(t, launch.shape->block, thread.index);
    block.ready.push_back(t);
  }
  reset_warps(block);
  empty(block.rows);
  block.is_known = false;
  empty(block.unchecked);
  begin_order(block.order, number);
  block.shared.assign(shared_bytes(), 0xFF);
  if (launch.shared_owner == &block) launch.shared_owner = nullptr;
  block.dynamic_shared = dynamic_shared_of(slot, launch.shape->dynamic_shared);
  if (!block.dynamic_shared) return false;
  memset(block.dynamic_shared, 0xFF, launch.shape->dynamic_shared);
  return true;
}

// Puts the block's bytes into the section of the module's __shared__ variables.
void bring_shared(Block& block) {
  if (launch.shared_owner == &block) return;
  const size_t bytes = shared_bytes();
  if (Block* owner = launch.shared_owner) memcpy(owner->shared.data(), launch.kernel->shared_begin, bytes);
  memcpy(launch.kernel->shared_begin, block.shared.data(), bytes);
  launch.shared_owner = &block;
}

void resume(Block& block, u32 number) {
  bring_shared(block);
  hide_l1(block.cache);
  launch.block = &block;
  launch.thread = &block.threads[number];
  memcpy(position.thread, launch.thread->index, sizeof position.thread);
  memcpy(position.block, block.index, sizeof position.block);
  running = true;
  cuda_on_cpu_switch(&launch.scheduler, launch.thread->stack_pointer);
  running = false;
}

// Some block with a thread that can run, mostly the one that ran last; null if all wait.
Block* pick_block() {
  Block* last = launch.block;
  if (last && !last->ready.empty() && !chance(launch.stickiness)) return last;
  const u32 count = launch.in_flight.size(), first = random_below(count);
  for (u32 i = 0; i < count; i++) {
    Block* block = launch.in_flight[(first + i) % count];
    if (!block->ready.empty()) return block;
  }
  return nullptr;
}

std::string who_waits() {
  for (const Block* block : launch.in_flight)
    for (const Thread& thread : block->threads)
      if (thread.wait != Wait::none) return name_of(*block, thread) + describe_wait(*block, thread);
  return "no thread can run";
}

void fail(Code code, const std::string& what) {
  if (launch.code != kSuccess) return;
  launch.code = code;
  launch.report = "kernel " + std::string(launch.kernel->name) + ": " + what + " [seed " + std::to_string(seed()) + "]";
}

void schedule() {
  while (!launch.in_flight.empty() && launch.code == kSuccess) {
    Block* block = pick_block();
    if (!block) return fail(kLaunchFailed, "deadlock: " + who_waits());
    const u32 at = random_below(block->ready.size());
    const u32 thread = block->ready[at];
    block->ready[at] = block->ready.back();
    block->ready.pop_back();
    resume(*block, thread);

    std::string what;
    if (const Code code = take_fault(&what)) return fail(code, name_of(*block, block->threads[thread]) + ": " + what);
    if (++launch.turns > kMostTurns) return fail(kLaunchFailed, "no block has ended for a very long time; it may spin");
    if (block->exited != launch.threads_per_block) continue;

    launch.turns = 0;
    launch.block = nullptr;
    for (size_t i = 0; i < launch.in_flight.size(); i++) {
      if (launch.in_flight[i] != block) continue;
      if (launch.next_block == launch.block_count) {
        launch.in_flight.erase(launch.in_flight.begin() + i);
      } else {
        size_t slot = 0;
        while (slots[slot].get() != block) slot++;
        if (!start_block(slot, take_next_block())) return fail(kOutOfMemory, "no memory for stacks");
      }
      break;
    }
  }
}

u32 blocks_in_flight() {
  static const char* given = std::getenv("CUDA_ON_CPU_BLOCKS");
  const int count = given ? atoi(given) : 4;
  return count > 0 ? count : 1;
}

}  // namespace

void yield_ready() {
  launch.block->ready.push_back(launch.thread->number);
  leave();
}

void yield_waiting(Wait why) {
  launch.thread->wait = why;
  leave();
}

void wake(Block& block, u32 thread) {
  block.threads[thread].wait = Wait::none;
  block.ready.push_back(thread);
}

std::string name_of(const Block& block, const Thread& thread) {
  return "block " + tuple(block.index) + " thread " + tuple(thread.index);
}

std::string block_name(u32 number) {
  u32 index[3];
  unravel(number, launch.shape->grid, index);
  return "block " + tuple(index);
}

void stop(Code code, const std::string& what) {
  fail(code, name_of(*launch.block, *launch.thread) + ": " + what);
  leave();
  __builtin_trap();  // the scheduler never comes back to a launch that failed
}

}  // namespace engine

using namespace engine;

void run_only(u32 first, u32 last) {
  only_first = first;
  only_last = last;
}

Code run(const Kernel& kernel, const Shape& shape, void** args, std::string* report) {
  static std::mutex one_at_a_time;
  std::lock_guard<std::mutex> lock(one_at_a_time);
  launch = Launch{};
  launch.kernel = &kernel;
  launch.shape = &shape;
  launch.args = args;
  launch.block_count = shape.grid[0] * shape.grid[1] * shape.grid[2];
  launch.threads_per_block = shape.block[0] * shape.block[1] * shape.block[2];
  launch.stickiness = 1u << (1 + random_below(6));
  launch.access_pace = 1u << (3 + random_below(7));
  memcpy(position.block_dim, shape.block, sizeof position.block_dim);
  memcpy(position.grid_dim, shape.grid, sizeof position.grid_dim);
  begin_order_of_launch();
  begin_access_of_launch();
  begin_l1_of_launch();

  const u32 most = shape.cooperative ? launch.block_count : blocks_in_flight();
  bool enough = shape.dynamic_shared <= kMostDynamicShared;
  while (enough && launch.in_flight.size() < most && launch.next_block < launch.block_count) {
    const size_t slot = launch.in_flight.size();
    if (slot == slots.size()) slots.push_back(std::make_unique<Block>());
    enough = start_block(slot, take_next_block());
    launch.in_flight.push_back(slots[slot].get());
  }
  if (enough) {
    FaultCatcher catcher;
    schedule();
    hide_l1(kNoCache);
  } else {
    fail(kOutOfMemory, "no memory for stacks or shared memory");
  }
  if (report) *report = launch.report;
  return launch.code;
}

const Services* services() {
  static const Services table = {
      kServicesVersion,
      &position,
      access,
      load_past_l1,
      block_barrier,
      fence,
      block_fence,
      atomic_order,
      exchange,
      ballot,
      warp_barrier,
      active_mask,
      lane,
      []() -> void* { return launch.block->dynamic_shared; },
      is_global,
      [] { yield_ready(); },
      []() -> u64 {
        static u64 now = 0;
        return now += 100;
      },
      [](u64 handle, u32 value) {
        if (!cuda_on_cpu::set_conditional(handle, value))
          stop(kLaunchFailed, "cudaGraphSetConditional: handle " + std::to_string(handle) +
                                  " is none of the graph that this kernel runs in");
      },
      [](const char* why) { stop(kLaunchFailed, why); },
  };
  return &table;
}

}  // namespace cuda_on_cpu
