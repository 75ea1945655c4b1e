// The registry of device and pinned memory. Addresses are handed out upwards and never again, so a stale one is always
// found out. Every function here is called under the driver's lock.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "memory_map.h"

namespace cuda_on_cpu {
namespace engine {

Arena arena;

namespace {

constexpr size_t kPage = 4096;
constexpr unsigned char kFresh = 0xFF;  // NaN in every format
constexpr unsigned char kGuard = 0xFD;
constexpr size_t kCheckedGuard = 1024;  // bytes behind an end that are checked
// Each guarded region costs two of the 65,530 mappings that Linux gives a process. Past this many, neighbours are kept
// apart by the byte pattern and the exact check of each access alone.
constexpr size_t kMostGuarded = 12000;

std::vector<Region> regions(1);  // by number, sorted by base; number 0 is none
size_t guarded_count = 0;
size_t live[2] = {0, 0};
size_t sparse_memory = 0;

template <class T>
T* reserve(size_t bytes, int protection) {
  void* p = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<T*>(p);
}

// Address space only, no memory: as much as the system allows, 4 TiB at first try.
bool reserve_arena() {
  for (size_t size = size_t(4) << 40; size >= size_t(1) << 32; size /= 2) {
    unsigned char* begin = reserve<unsigned char>(size, PROT_NONE);
    u32* pages = reserve<u32>(size / kPage * sizeof(u32), PROT_READ | PROT_WRITE);
    Cell* shadow = reserve<Cell>(size / 4 * sizeof(Cell), PROT_READ | PROT_WRITE);
    Line* lines = reserve<Line>(size / sizeof(LineBytes) * sizeof(Line), PROT_READ | PROT_WRITE);
    if (begin && pages && shadow && lines) {
      arena = {begin, size, kPage, pages, shadow, lines, regions.data()};
      return true;
    }
    if (begin) munmap(begin, size);
    if (pages) munmap(pages, size / kPage * sizeof(u32));
    if (shadow) munmap(shadow, size / 4 * sizeof(Cell));
    if (lines) munmap(lines, size / sizeof(LineBytes) * sizeof(Line));
  }
  return false;
}

std::string text_of(const Region& r) {
  char out[96];
  snprintf(out, sizeof out, "the %zu-byte %s allocation %p", r.size, r.space == Space::device ? "device" : "pinned",
           static_cast<void*>(r.base));
  return out;
}

}  // namespace

void clear_shadow() {
  if (arena.begin) madvise(arena.shadow, arena.used / 4 * sizeof(Cell), MADV_DONTNEED);
}

}  // namespace engine

using namespace engine;

void set_sparse_memory(size_t bytes) { sparse_memory = bytes; }

size_t device_memory() { return sparse_memory ? sparse_memory : kDeviceMemory; }

void* allocate(size_t bytes, Space space) {
  if (bytes == 0 || bytes > device_memory() || (!arena.begin && !reserve_arena())) return nullptr;
  const int kind = static_cast<int>(space);
  if (space == Space::device && live[kind] + bytes > device_memory()) return nullptr;
  const size_t mapped = (bytes + 64 + kPage - 1) / kPage * kPage;  // at least 64 bytes of pattern
  const bool guarded = guarded_count < kMostGuarded;
  if (arena.used + mapped + kPage > arena.size) return nullptr;

  unsigned char* base = arena.begin + arena.used;
  if (mprotect(base, mapped, PROT_READ | PROT_WRITE) != 0) return nullptr;
  if (!sparse_memory || bytes < kSparse) memset(base, kFresh, bytes);
  memset(base + bytes, kGuard, mapped - bytes);

  const u32 number = regions.size();
  std::fill_n(arena.region_of_page + arena.used / kPage, mapped / kPage, number);
  regions.push_back({base, bytes, mapped, space, true, guarded});
  arena.regions = regions.data();
  arena.used += mapped + (guarded ? kPage : 0);
  guarded_count += guarded;
  live[kind] += bytes;
  return base;
}

bool release(void* base) {
  Region* r = region_at(base);
  if (!r || !r->live || r->base != base) return false;
  r->live = false;
  live[static_cast<int>(r->space)] -= r->size;
  madvise(r->base, r->mapped, MADV_DONTNEED);
  const size_t offset = r->base - arena.begin;
  // The cells of a small region share their page with no other one: 8 bytes for 4, so a page has two pages of cells.
  madvise(arena.shadow + offset / 4, r->mapped / 4 * sizeof(Cell), MADV_DONTNEED);
  if (r->guarded) {
    mprotect(r->base, r->mapped, PROT_NONE);
    guarded_count--;
  }
  return true;
}

bool find(const void* p, size_t bytes, void** base, size_t* size, Space* space) {
  const Region* r = region_at(p);
  if (!r || !r->live) return false;
  const size_t offset = static_cast<const unsigned char*>(p) - r->base;
  if (offset >= r->size || bytes > r->size - offset) return false;
  if (base) *base = r->base;
  if (size) *size = r->size;
  if (space) *space = r->space;
  return true;
}

namespace {

// Each damage is told once: the pattern is whole again afterwards.
std::string damage_of(const Region& r) {
  static unsigned char intact[kCheckedGuard];
  if (intact[0] != kGuard) memset(intact, kGuard, sizeof intact);
  unsigned char* guard = r.base + r.size;
  const size_t checked = std::min(r.mapped - r.size, kCheckedGuard);
  if (memcmp(guard, intact, checked) == 0) return "";
  const size_t first = std::find_if(guard, guard + checked, [](unsigned char c) { return c != kGuard; }) - guard;
  memset(guard, kGuard, checked);
  return "damaged guard zone: something wrote " + describe_address(guard + first);
}

}  // namespace

std::string check_guard_zones() {
  for (const Region& r : regions) {
    if (!r.live) continue;
    const std::string damage = damage_of(r);
    if (!damage.empty()) return damage;
  }
  return "";
}

std::string check_guard_zone(const void* base) {
  const Region* r = region_at(base);
  return r && r->live ? damage_of(*r) : "";
}

size_t live_bytes(Space space) { return live[static_cast<int>(space)]; }

std::string describe_address(const void* p) {
  const auto* address = static_cast<const unsigned char*>(p);
  if (address < arena.begin || address >= arena.begin + arena.used) return "outside of all device memory";
  auto above = std::upper_bound(regions.begin() + 1, regions.end(), address,
                                [](const unsigned char* a, const Region& r) { return a < r.base; });
  if (above == regions.begin() + 1) return "before all device memory";
  const Region& r = *(above - 1);
  const size_t offset = address - r.base;
  const std::string name = text_of(r) + (r.live ? "" : ", which is freed");
  if (offset < r.size) return std::to_string(offset) + " bytes into " + name;
  const size_t behind = offset - r.size;
  if (above != regions.end() && size_t(above->base - address) < behind)
    return std::to_string(above->base - address) + " bytes before " + text_of(*above) +
           (above->live ? "" : ", which is freed");
  return (behind ? std::to_string(behind) + " bytes past the end of " : "at the end of ") + name;
}

}  // namespace cuda_on_cpu
