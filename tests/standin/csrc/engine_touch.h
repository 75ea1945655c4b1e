// What one operation of a stream (a launch, a copy, a set) touches of device and pinned memory, by words of 4 bytes: for
// driver_race.cpp, which compares operations that nothing orders.
#pragma once
#include <vector>

#include "memory_map.h"

namespace cuda_on_cpu::engine {

// Atomics, and stores that are whole for every observer (st.relaxed.sys), are `atomic`. What a copy reads is `copied`: it
// reads words whole, so it may run beside those.
enum class Touch : int { load, store, atomic, copied };
constexpr int kTouches = 4, kWordsOfPage = 1024;

struct TouchedPage {
  u32 page;
  u64 bits[kTouches][kWordsOfPage / 64];
};

void begin_touches();
void touch(const void* p, size_t bytes, Touch how);  // what is outside of the arena is not looked at
std::vector<TouchedPage>& touched_pages();

inline Touch touch_of(Access kind) {
  switch (kind) {
    case Access::store:
      return Touch::store;
    case Access::atomic:
    case Access::system_store:
      return Touch::atomic;
    default:
      return Touch::load;
  }
}

}  // namespace cuda_on_cpu::engine
