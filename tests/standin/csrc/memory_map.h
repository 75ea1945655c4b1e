// How device memory lies in the address space, for the engine's checks of each access: one arena, whose addresses are
// never reused, with a table from page to region, a shadow of 8 bytes for every 4 (the race detector's cells) and one of 8 for every
// line of 128 (the caches).
#pragma once
#include "engine.h"

namespace cuda_on_cpu::engine {

// What the race detector knows of one 4-byte word; the numbers are explained in engine_race.cpp.
struct Cell {
  u32 writer, reader;
};

// Which of the caches have read a line, and which of them hold another one than memory: engine_l1.cpp.
struct Line {
  u32 launch;
  unsigned short read, stale;  // sets of caches
};
constexpr u32 kCaches = 16;
using LineBytes = unsigned char[128];

struct Region {
  unsigned char* base;
  size_t size;    // bytes asked for
  size_t mapped;  // bytes of whole pages behind it
  Space space;
  bool live;
  bool guarded;  // an inaccessible page follows
};

struct Arena {
  unsigned char* begin = nullptr;
  size_t size = 0;
  size_t used = 0;
  u32* region_of_page = nullptr;  // 0: none
  Cell* shadow = nullptr;         // of the word at `begin`
  Line* lines = nullptr;          // the first one begins at `begin`
  Region* regions = nullptr;      // by number; moves when one is added
};
extern Arena arena;

// The region, live or freed, in whose pages `p` lies; null if there is none.
inline Region* region_at(const void* p) {
  const size_t offset = static_cast<const unsigned char*>(p) - arena.begin;
  if (offset >= arena.used) return nullptr;
  const u32 number = arena.region_of_page[offset >> 12];
  return number ? arena.regions + number : nullptr;
}

inline Cell* cell_at(const void* p) { return arena.shadow + (static_cast<const unsigned char*>(p) - arena.begin) / 4; }

inline Line* line_at(const void* p) {
  return arena.lines + (static_cast<const unsigned char*>(p) - arena.begin) / sizeof(LineBytes);
}

// Forgets all cells; for when the detector's numbers run out.
void clear_shadow();

}  // namespace cuda_on_cpu::engine
