// The hook that every global load, store and atomic of a kernel passes: bounds, alignment, caches, traffic, races, and
// now and then a switch to another thread.
#include <algorithm>
#include <cstdio>
#include <iterator>

#include "engine_state.h"
#include "engine_touch.h"
#include "fiber.h"

namespace cuda_on_cpu {
namespace engine {
namespace {

u64 moved[2][5];  // load, store; by log2 of the width
u32 until_switch = 1;

// Loads that were checked. All threads of a block load the same rows: a block's later load of the same bytes in the same epoch finds
// nothing new, for whatever another block stores there in between, or later without this block's epoch at an end, is a race already.
struct Checked {
  const void* p;
  u32 id;
  u32 bytes;  // and the highest bit: of a relaxed load, which may still wait to be checked
};
Checked checked[4096];

bool was_checked(const void* p, unsigned size, bool relaxed) {
  const u32 bytes = size | (relaxed ? 1u << 31 : 0);
  const size_t word = reinterpret_cast<size_t>(p) / 4;
  Checked& at = checked[(word ^ word >> 12) % std::size(checked)];
  const u32 id = launch.block->order.id;
  if (at.p == p && at.id == id && at.bytes == bytes) return true;
  at = {p, id, bytes};
  return false;
}

u32 draw_pace() { return 1 + random_below(2 * launch.access_pace); }

const char* verb(Access kind) { return kind == Access::store ? "store" : kind == Access::atomic ? "atomic" : "load"; }

// What is left to check of the block's relaxed loads once it makes itself known.
void check_relaxed_loads(Block& block) {
  block.is_known = true;
  for (const auto& [p, bytes] : block.unchecked) check_races(p, bytes, Access::load);
  empty(block.unchecked);
}

std::string describe(const void* p, unsigned bytes, Access kind) {
  char out[96];
  snprintf(out, sizeof out, "%u-byte %s at %p", bytes, verb(kind), p);
  return out;
}

bool within(const void* p, unsigned bytes, const void* begin, size_t size) {
  const size_t offset = static_cast<const unsigned char*>(p) - static_cast<const unsigned char*>(begin);
  return offset < size && bytes <= size - offset;
}

bool in_shared(const void* p, unsigned bytes) {
  const Kernel& k = *launch.kernel;
  return within(p, bytes, k.shared_begin, k.shared_end - k.shared_begin) ||
         within(p, bytes, launch.block->dynamic_shared, launch.shape->dynamic_shared);
}

bool in_module(const void* p, unsigned bytes) {
  const Kernel& k = *launch.kernel;
  return within(p, bytes, k.module_begin, k.module_end - k.module_begin);
}

}  // namespace

bool is_global(const void* p) { return !in_shared(p, 1) && !on_stack(p); }

void begin_access_of_launch() {
  until_switch = draw_pace();
  std::fill(std::begin(checked), std::end(checked), Checked{});
}

void access(const void* p, unsigned bytes, Access kind) {
  if (--until_switch == 0) {
    until_switch = draw_pace();
    yield_ready();
  } else if (kind == Access::atomic && chance(4)) {
    yield_ready();
  }
  const Touch how = touch_of(kind);
  if (kind == Access::system_store) kind = Access::store;
  unsigned width = bytes & -bytes;  // of a struct: the widest access that moves it whole
  if (width > 16) width = 16;
  if (reinterpret_cast<size_t>(p) & (width - 1))
    stop(kMisalignedAddress, "misaligned " + describe(p, bytes, kind) + ", " + describe_address(p));

  const Region* region = region_at(p);
  if (!region || !region->live || !within(p, bytes, region->base, region->size)) {
    if (in_shared(p, bytes) || on_stack(p) || in_module(p, bytes)) return;
    stop(kIllegalAddress, "illegal " + describe(p, bytes, kind) + ", " + describe_address(p));
  }
  if (launch.block_count > 1 && region->space == Space::device) pass_l1(p, bytes, kind);
  const bool relaxed = kind == Access::relaxed_load;
  const bool known = (relaxed || kind == Access::load || kind == Access::row_load) && was_checked(p, bytes, relaxed);
  if (!known) touch(p, bytes, how);
  // All threads of a block read a row, and memory gives it once; lane 0 of each warp speaks for the warp.
  Block& block = *launch.block;
  const bool once = relaxed || kind == Access::row_load;
  const bool counts = !once || (launch.thread->number % kWarpSize == 0 && block.rows.insert(p).second);
  const bool waits = relaxed && !block.is_known;
  if (once || kind == Access::load_past_l1) kind = Access::load;
  if (counts && kind != Access::atomic) moved[kind == Access::store][__builtin_ctz(width)] += bytes;
  if (launch.block_count == 1 || known) return;
  if (waits) {
    block.unchecked[p] = bytes;
    return;
  }
  if (kind != Access::load && !block.is_known) check_relaxed_loads(block);
  check_races(p, bytes, kind);
}

}  // namespace engine

u64 traffic(bool store, unsigned width) {
  for (unsigned i = 0; i < 5; i++)
    if (width == 1u << i) return engine::moved[store][i];
  return 0;
}

void reset_traffic() {
  for (auto& direction : engine::moved)
    for (u64& bytes : direction) bytes = 0;
}

}  // namespace cuda_on_cpu
