// The words that the present operation touches: a bitmap for each page, found through a table from page to place.
#include "engine_touch.h"

#include <sys/mman.h>

#include <algorithm>

namespace cuda_on_cpu::engine {
namespace {

std::vector<TouchedPage> pages;
u32* place_of_page = nullptr;  // counted from 1; 0: not touched by the present operation

bool reserve() {
  if (place_of_page || !arena.begin) return place_of_page;
  void* p = mmap(nullptr, arena.size / 4096 * sizeof(u32), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p != MAP_FAILED) place_of_page = static_cast<u32*>(p);
  return place_of_page;
}

TouchedPage& page_at(u32 page) {
  u32& place = place_of_page[page];
  if (place == 0) {
    pages.push_back({page, {}});
    place = pages.size();
  }
  return pages[place - 1];
}

}  // namespace

void begin_touches() {
  for (const TouchedPage& page : pages) place_of_page[page.page] = 0;
  pages.clear();
}

void touch(const void* p, size_t bytes, Touch how) {
  const size_t offset = static_cast<const unsigned char*>(p) - arena.begin;
  if (bytes == 0 || offset >= arena.used || !reserve()) return;
  const size_t last = (offset + bytes - 1) / 4;
  for (size_t word = offset / 4; word <= last;) {
    const size_t end = std::min(last, word | 63), count = end - word + 1;
    const u64 mask = (count == 64 ? ~0ull : (1ull << count) - 1) << (word % 64);
    page_at(word / kWordsOfPage).bits[static_cast<int>(how)][word % kWordsOfPage / 64] |= mask;
    word = end + 1;
  }
}

std::vector<TouchedPage>& touched_pages() { return pages; }

}  // namespace cuda_on_cpu::engine
