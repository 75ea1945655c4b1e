// The race detector between streams. Two operations race if they touch the same word, one of them at least stores to it, and
// nothing orders them (driver_order.cpp): whichever was drawn to run first.
//
// For each page there is a list of what operations touched. Of an operation that comes before the present one, words are
// forgotten that the present one touches so that it would race with whatever the former one raced with. The list stays short
// in this way, and of two operations that race, the second one to run finds the first one or one in its place.
#include "driver_race.h"

#include <cstdio>
#include <unordered_map>

#include "engine.h"
#include "engine_touch.h"

namespace cuda_on_cpu {
namespace {

using engine::kTouches;
using engine::Touch;
using engine::TouchedPage;

constexpr int kGroups = engine::kWordsOfPage / 64;
constexpr int kLoad = int(Touch::load), kStore = int(Touch::store), kAtomic = int(Touch::atomic),
              kCopied = int(Touch::copied);

bool streams_may_race = false;

struct Entry {
  std::shared_ptr<const Order> order;
  TouchedPage touched;
};

auto& pages() {
  static auto* pages = new std::unordered_map<u32, std::vector<Entry>>;
  return *pages;
}

u64 any(const TouchedPage& page, int group) {
  u64 bits = 0;
  for (int how = 0; how < kTouches; ++how) bits |= page.bits[how][group];
  return bits;
}

// Words of one group that the two may not touch unordered.
u64 conflicts(const TouchedPage& a, const TouchedPage& b, int group) {
  const auto of = [&](const TouchedPage& page, int how) { return page.bits[how][group]; };
  return (of(a, kStore) & any(b, group)) | (any(a, group) & of(b, kStore)) | (of(a, kAtomic) & of(b, kLoad)) |
         (of(a, kLoad) & of(b, kAtomic));
}

// Forgets what `later` stands for from now on. False if nothing is left.
bool supersede(TouchedPage& earlier, const TouchedPage& later) {
  u64 left = 0;
  for (int group = 0; group < kGroups; ++group) {
    const u64 stored = later.bits[kStore][group];
    earlier.bits[kStore][group] &= ~stored;
    earlier.bits[kAtomic][group] &= ~(stored | later.bits[kAtomic][group]);
    earlier.bits[kLoad][group] &= ~(stored | later.bits[kLoad][group]);
    earlier.bits[kCopied][group] &= ~any(later, group);
    left |= any(earlier, group);
  }
  return left != 0;
}

const char* verb(const TouchedPage& page, int group, u64 word) {
  return page.bits[kStore][group] & word    ? "stores to"
         : page.bits[kAtomic][group] & word ? "changes"
                                            : "loads";
}

std::string report(const Entry& earlier, const Order& order, const TouchedPage& page, int group, u64 words) {
  const u64 word = words & -words;
  const size_t offset = size_t(page.page) * 4096 + (group * 64 + __builtin_ctzll(words)) * 4;
  const void* p = engine::arena.begin + offset;
  char address[32];
  snprintf(address, sizeof address, "%p", p);
  return "race between streams: " + order.what + " " + verb(page, group, word) + " " + address + ", " +
         describe_address(p) + ", which " + earlier.order->what + " " + verb(earlier.touched, group, word) +
         " too, and nothing orders the two: no stream, event, graph or wait of the host [seed " +
         std::to_string(seed()) + "]";
}

}  // namespace

std::string end_touches(const std::shared_ptr<const Order>& order) {
  std::string found;
  if (streams_may_race) return found;
  for (const TouchedPage& page : engine::touched_pages()) {
    auto& entries = pages()[page.page];
    size_t kept = 0;
    for (Entry& entry : entries) {
      const bool before = is_before(*entry.order, *order);
      for (int group = 0; !before && found.empty() && group < kGroups; ++group)
        if (const u64 words = conflicts(page, entry.touched, group))
          found = report(entry, *order, page, group, words);
      if (before && !supersede(entry.touched, page)) continue;
      if (&entries[kept] != &entry) entries[kept] = std::move(entry);
      ++kept;
    }
    entries.resize(kept);
    entries.push_back({order, page});
  }
  return found;
}

void forget_touches() { pages().clear(); }

void let_streams_race(bool let) { streams_may_race = let; }

}  // namespace cuda_on_cpu
