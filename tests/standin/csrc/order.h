// What comes before what, by the rules of CUDA alone and not by the order that was drawn: driver_order.cpp keeps it,
// driver_race.cpp asks for it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "services.h"

namespace cuda_on_cpu {

// By stream, of Stream::id: how many of its operations come before.
using StreamClock = std::vector<u32>;

// Of a graph: which nodes come before which. Null stands for a graph that is a chain.
struct Reach {
  size_t nodes;
  std::vector<bool> before;  // [later * nodes + earlier]
};

// A node of a graph; below it there may be one of the child graph that it holds.
struct Level {
  std::shared_ptr<const Reach> graph;
  u32 node;
};
using Path = std::vector<Level>;

// Where an operation stands. All of one graph launch have one stream, number and clock, and differ by their paths.
struct Order {
  u64 stream;
  u32 number;  // among the operations of its stream
  std::shared_ptr<const StreamClock> after;  // its own number included
  std::string what;                          // "kernel add on stream 3"
  Path path;
};

bool is_before(const Order& earlier, const Order& later);
void join(StreamClock& into, const StreamClock& from);

}  // namespace cuda_on_cpu
