// Races between operations that nothing orders: driver_race.cpp.
#pragma once
#include <memory>
#include <string>

#include "order.h"

namespace cuda_on_cpu {

// Compares what the operation that has just run touched with all before it, and remembers it. A report of a race, or "".
std::string end_touches(const std::shared_ptr<const Order>& order);
// All that ran is before all that will.
void forget_touches();
// For tests that look at the order itself: no race is reported.
void let_streams_race(bool let);

}  // namespace cuda_on_cpu
