// First-level caches, as far as a kernel can tell them from memory: a line that was read stays as it was read.
//
// A slot of blocks in flight stands for a multiprocessor, so blocks that follow each other there share a cache. It has
// room for everything and is empty when a launch begins. A plain load brings in the line of 128 bytes; stores and atomics
// of other slots go to memory and leave this copy as it is, its own stores change both. Loads that pass the cache see
// memory; an atomic drops the line.
//
// A fence drops nothing, though one that acquires would on a GPU: what another block wrote must be loaded past the cache,
// whatever stands before the load. A load that passes the cache after a hook for a plain one leaves its line marked as
// read. Both are stricter than a GPU.
//
// Kernels load and store through plain pointers once the hook has returned. So while a block runs, memory itself holds
// what its cache shows of the lines that it touched; before another block runs, the true bytes come back.
#include <cstring>

#include "engine_state.h"

namespace cuda_on_cpu::engine {
namespace {

constexpr size_t kLine = sizeof(LineBytes);

// What one cache holds of one line that is another one in memory.
struct Copy {
  unsigned char* line;
  LineBytes hidden;  // the cache's bytes; while they are shown, those of memory
  bool own[kLine];   // stored by the cache's own blocks: these bytes are those of memory
};

u32 number;                             // of the launch
std::unordered_map<size_t, Copy> copies;  // by line and cache
std::vector<Copy*> shown;               // of one cache
u32 shown_cache;

u32 bit_of(u32 cache) { return 1u << cache; }

size_t key_of(const unsigned char* line, u32 cache) {
  return static_cast<size_t>(line - arena.begin) / kLine * kCaches + cache;
}

bool is_shown(const Copy& copy) {
  for (const Copy* other : shown)
    if (other == &copy) return true;
  return false;
}

void swap(Copy& copy) {
  LineBytes memory;
  memcpy(memory, copy.line, kLine);
  memcpy(copy.line, copy.hidden, kLine);
  memcpy(copy.hidden, memory, kLine);
}

void show(Copy& copy) {
  if (is_shown(copy)) return;
  for (size_t i = 0; i < kLine; i++)
    if (copy.own[i]) copy.hidden[i] = copy.line[i];
  swap(copy);
  shown.push_back(&copy);
  shown_cache = launch.block->cache;
}

void hide(Copy& copy) {
  for (size_t i = 0; i < kLine; i++)
    if (copy.own[i]) copy.hidden[i] = copy.line[i];
  swap(copy);
}

void hide_if_shown(Copy& copy) {
  for (size_t i = 0; i < shown.size(); i++) {
    if (shown[i] != &copy) continue;
    hide(copy);
    shown[i] = shown.back();
    shown.pop_back();
    return;
  }
}

Copy& copy_of(unsigned char* line, u32 cache) { return copies.find(key_of(line, cache))->second; }

// Each cache that has read the line keeps it as memory has it now, except for bytes that it has as its own.
void leave_behind(Line& known, unsigned char* line, size_t first, size_t end, u32 me) {
  const Copy* mine = known.stale & bit_of(me) ? &copy_of(line, me) : nullptr;
  const unsigned char* memory = mine && is_shown(*mine) ? mine->hidden : line;
  for (u32 cache = 0; cache < kCaches; cache++) {
    if (cache == me || !(known.read & bit_of(cache))) continue;
    if (!(known.stale & bit_of(cache))) {
      Copy& copy = copies[key_of(line, cache)];
      copy.line = line;
      memcpy(copy.hidden, memory, kLine);
      memset(copy.own, 0, sizeof copy.own);
      known.stale |= bit_of(cache);
      continue;
    }
    Copy& copy = copy_of(line, cache);
    for (size_t i = first; i < end; i++) {
      if (copy.own[i]) copy.hidden[i] = memory[i];
      copy.own[i] = false;
    }
  }
}

void take_own(Copy& copy, size_t first, size_t end) {
  show(copy);
  for (size_t i = first; i < end; i++) {
    if (!copy.own[i]) copy.line[i] = copy.hidden[i];  // until the store is made, memory's
    copy.own[i] = true;
  }
}

void drop(Line& known, unsigned char* line, u32 me) {
  known.read &= ~bit_of(me);
  if (!(known.stale & bit_of(me))) return;
  hide_if_shown(copy_of(line, me));
  copies.erase(key_of(line, me));
  known.stale &= ~bit_of(me);
}

void pass_line(unsigned char* line, size_t first, size_t end, Access kind) {
  Line& known = *line_at(line);
  const u32 me = launch.block->cache;
  if (known.launch != number) {
    if (kind != Access::load && kind != Access::row_load) return;
    known = {number, 0, 0};
  }
  const bool is_stale = known.stale & bit_of(me);
  switch (kind) {
    case Access::load:
    case Access::row_load:
      known.read |= bit_of(me);
      if (is_stale) show(copy_of(line, me));
      break;
    case Access::relaxed_load:
    case Access::load_past_l1:
      if (is_stale) hide_if_shown(copy_of(line, me));
      break;
    case Access::store:
      if (known.read & ~bit_of(me)) leave_behind(known, line, first, end, me);
      if (is_stale) take_own(copy_of(line, me), first, end);
      break;
    case Access::atomic:
      drop(known, line, me);
      if (known.read) leave_behind(known, line, first, end, me);
      break;
  }
}

}  // namespace

void begin_l1_of_launch() {
  number++;
  empty(copies);
}

void hide_l1(u32 except) {
  if (shown.empty() || shown_cache == except) return;
  for (Copy* copy : shown) hide(*copy);
  shown.clear();
}

void pass_l1(const void* p, unsigned bytes, Access kind) {
  auto* at = static_cast<unsigned char*>(const_cast<void*>(p));
  auto* const end = at + bytes;
  while (at < end) {
    unsigned char* line = arena.begin + (at - arena.begin) / kLine * kLine;
    const size_t first = at - line, left = end - line;
    pass_line(line, first, left < kLine ? left : kLine, kind);
    at = line + kLine;
  }
}

void load_past_l1(const void* p, unsigned bytes) {
  const Region* region = shown.empty() ? nullptr : region_at(p);
  if (region) pass_l1(p, bytes, Access::load_past_l1);
}

}  // namespace cuda_on_cpu::engine
