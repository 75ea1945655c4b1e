// The order of operations, as clocks: what a stream's next operation comes after is joined from the stream itself, the events
// that it waits for, the legacy stream's rules, and what the host had waited for when it made the call. All threads of the
// host count as one: how they order their calls among themselves is not seen here, so they are taken to.
#include <algorithm>

#include "driver.h"
#include "driver_race.h"

namespace cuda_on_cpu {
namespace {

u32& at(StreamClock& clock, u64 stream) {
  if (stream >= clock.size()) clock.resize(stream + 1);
  return clock[stream];
}

std::string name_of(const Work& work) {
  switch (work.kind) {
    case Kind::kernel:
      return "kernel " + work.launch->function->name;
    case Kind::copy:
      return "a copy";
    case Kind::set:
      return "a set";
    default:
      return "an operation";
  }
}

std::string name_of(const Stream& stream) {
  return &stream == stream.context->legacy.get() ? "the legacy stream" : "stream " + std::to_string(stream.id);
}

// Nothing runs or is queued that the host did not wait for: what comes now comes after everything.
bool is_quiet() {
  for (const auto& [_, context] : world().contexts.live)
    for (const auto& stream : context->streams) {
      const u64 id = stream->id;
      if (!stream->queue.empty()) return false;
      if (id < stream->clock.size() && at(world().host, id) < stream->clock[id]) return false;
    }
  return true;
}

}  // namespace

void join(StreamClock& into, const StreamClock& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

bool is_before(const Order& earlier, const Order& later) {
  if (earlier.stream != later.stream || earlier.number != later.number)
    return earlier.stream < later.after->size() && (*later.after)[earlier.stream] >= earlier.number;
  for (size_t level = 0; level < std::min(earlier.path.size(), later.path.size()); ++level) {
    const Level &e = earlier.path[level], &l = later.path[level];
    if (e.node != l.node) return !l.graph || l.graph->before[l.node * l.graph->nodes + e.node];
  }
  return true;  // the same node: one body of a conditional node
}

Order next_order(Stream& stream) {
  join(stream.clock, world().host);
  Stream& legacy = *stream.context->legacy;
  if (&stream == &legacy) {
    for (const auto& other : stream.context->streams)
      if (other->blocking) join(stream.clock, other->clock);
  } else if (stream.blocking) {
    join(stream.clock, legacy.clock);
  }
  const u32 number = ++at(stream.clock, stream.id);
  return {stream.id, number, std::make_shared<const StreamClock>(stream.clock), "", {}};
}

std::shared_ptr<const Order> order_of(const Stream& stream, const Order& base, const Work& work, Path path) {
  auto order = std::make_shared<Order>(base);
  order->what = name_of(work) + (path.empty() ? " on " : " of a graph on ") + name_of(stream);
  order->path = std::move(path);
  return order;
}

std::shared_ptr<const Reach> reach_of(const Nodes& nodes) {
  const size_t count = nodes.size();
  std::map<const Node*, size_t> place;
  bool chain = true;
  for (size_t i = 0; i < count; ++i) {
    place[nodes[i].get()] = i;
    const auto& before = nodes[i]->dependencies;
    chain = chain && (i == 0 || std::find(before.begin(), before.end(), nodes[i - 1]) != before.end());
  }
  if (chain) return nullptr;
  auto reach = std::make_shared<Reach>();
  reach->nodes = count;
  reach->before.resize(count * count);
  for (size_t i = 0; i < count; ++i)
    for (const auto& dependency : nodes[i]->dependencies) {
      const size_t d = place.at(dependency.get());
      reach->before[i * count + d] = true;
      for (size_t j = 0; j < d; ++j)
        if (reach->before[d * count + j]) reach->before[i * count + j] = true;
    }
  return reach;
}

void order_host_after(const StreamClock& clock) {
  join(world().host, clock);
  if (is_quiet()) forget_touches();
}

void order_host_after(const Stream& stream) {
  join(world().host, stream.clock);
  if (&stream == stream.context->legacy.get())
    for (const auto& other : stream.context->streams)
      if (other->blocking) join(world().host, other->clock);
  order_host_after(stream.clock);
}

}  // namespace cuda_on_cpu
