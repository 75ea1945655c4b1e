// The state of the launch that runs now, shared by the files of the engine: engine.cpp (blocks, threads, who runs
// next), engine_warp.cpp (barriers, warp operations), engine_access.cpp (the access hook), engine_race.cpp (who may see
// whose stores), engine_l1.cpp (lines that stay as they were), engine_fault.cpp (signals), engine_random.cpp.
#pragma once
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine.h"
#include "memory_map.h"

namespace cuda_on_cpu::engine {

constexpr u32 kWarpSize = 32;

// ---- engine_race.cpp ------------------------------------------------------------------------------------------------

using Clock = std::vector<u32>;  // by block: up to which of its epochs; shorter than the grid where the rest is 0

// What one block knows of the others. A block's threads count as one; an epoch ends at each of its fences and atomics.
struct Order {
  u32 block, epoch;
  u32 id;          // of this block and epoch, in cells
  Clock visible;   // whose stores its loads may see: acquired by an atomic, then a fence
  Clock acquired;  // by atomics, not yet by a fence
  Clock released;  // what its atomics hand on: visible at its last fence
  Clock after;     // after whose accesses it runs at all: any chain of atomics
};

void begin_order_of_launch();
void begin_order(Order& order, u32 block);
void check_races(const void* p, unsigned bytes, Access kind);
extern u32 first_id;  // cells with smaller numbers are of earlier launches

// ---- engine_l1.cpp --------------------------------------------------------------------------------------------------

void begin_l1_of_launch();
// Lets memory show what the running block's cache does, for the access that follows at once.
void pass_l1(const void* p, unsigned bytes, Access kind);
void load_past_l1(const void* p, unsigned bytes);  // as a service, after the hook
void hide_l1(u32 except);  // memory shows its own bytes again, unless it shows those of this cache
constexpr u32 kNoCache = ~0u;

// ---- engine_warp.cpp ------------------------------------------------------------------------------------------------

enum class WarpOperation : unsigned char { exchange, ballot, barrier };

// The lanes of one mask, gathering for one operation.
struct Meeting {
  WarpOperation operation;
  u32 mask, arrived;
  u64 value[kWarpSize];
  unsigned char source[kWarpSize];
};

struct Warp {
  u32 existing, exited;
  std::vector<Meeting> meetings;
};

struct Block;
struct Thread;
void reset_warps(Block& block);
std::string describe_wait(const Block& block, const Thread& thread);
void leave_warp(Block& block, u32 thread);  // the thread has returned; fails the launch if another waits for it

// ---- engine.cpp -----------------------------------------------------------------------------------------------------

enum class Wait : unsigned char { none, block_barrier, warp };

struct Thread {
  void* stack_pointer;
  u32 number, index[3];
  Wait wait;
  u64 given;  // the result of its warp operation
};

// A block in flight; reused for the next one when it ends.
struct Block {
  u32 number, index[3];
  u32 cache;  // its multiprocessor's
  std::vector<Thread> threads;
  std::vector<u32> ready;  // threads that can run
  u32 at_barrier, exited;
  const char* barrier_file;  // where those at the barrier stand
  unsigned barrier_line;
  std::vector<Warp> warps;
  std::vector<unsigned char> shared;  // its bytes of the __shared__ section while another block has it
  unsigned char* dynamic_shared;
  Order order;
  std::unordered_set<const void*> rows;  // of tables, that it has loaded
  bool is_known;                         // it stored or did an atomic where others may look
  std::unordered_map<const void*, unsigned> unchecked;  // relaxed loads before that, and their bytes
};

struct Launch {
  const Kernel* kernel;
  const Shape* shape;
  void** args;
  u32 block_count, threads_per_block, next_block, finished_blocks;
  std::vector<Block*> in_flight;
  Block* block = nullptr;  // whose thread runs now
  Thread* thread = nullptr;
  Block* shared_owner = nullptr;
  void* scheduler = nullptr;  // its saved place
  u32 stickiness;             // one in so many switches leaves the block
  u32 access_pace;            // one in about so many accesses switches
  u64 turns;                  // switches since a block last ended
  Code code;
  std::string report;
};
extern Launch launch;
extern Position position;
extern bool running;  // a kernel's thread runs now, not the engine

// Empties a hash table. One that was large once would be gone over as a whole each time.
template <class Table>
void empty(Table& table) {
  if (table.bucket_count() > 4096)
    table = Table();
  else
    table.clear();
}

void yield_ready();            // another thread may go on now
void yield_waiting(Wait why);  // until `wake`
void wake(Block& block, u32 thread);
inline bool chance(u32 n) { return random_below(n) == 0; }

// Ends the launch from within a thread of it. The first fault counts.
[[noreturn]] void stop(Code code, const std::string& what);
std::string name_of(const Block& block, const Thread& thread);
std::string block_name(u32 number);

// ---- engine_access.cpp, engine_fault.cpp ----------------------------------------------------------------------------

void access(const void* p, unsigned bytes, Access kind);
bool is_global(const void* p);
void begin_access_of_launch();

// Turns SIGSEGV, SIGBUS and SIGFPE of a kernel's thread into a failed launch, all others are passed on.
class FaultCatcher {
 public:
  FaultCatcher();
  ~FaultCatcher();

 private:
  void* alternate_stack_ = nullptr;
};
// After a switch back to the scheduler: a fault's code and description if it was one.
Code take_fault(std::string* what);

// ---- entries of the services table ----------------------------------------------------------------------------------

void block_barrier(const char* file, unsigned line);
u64 exchange(u32 mask, u64 value, u32 source_lane);
u32 ballot(u32 mask, bool predicate);
void warp_barrier(u32 mask);
u32 active_mask();
u32 lane();
void fence();
void block_fence();
void atomic_order(const void* p);

}  // namespace cuda_on_cpu::engine
