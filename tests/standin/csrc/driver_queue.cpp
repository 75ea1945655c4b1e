// Work put on a stream runs later: whoever waits runs it, and any call may run a little of it. Which stream goes next
// is drawn by lot among those whose first operation may run by the rules of streams and events.
#include <cstdio>
#include <cstdlib>

#include "driver.h"
#include "driver_race.h"
#include "engine_touch.h"

namespace cuda_on_cpu {
namespace {

bool in_host_function_ = false;

// The legacy null stream waits for earlier work of all blocking streams of its context, and they for its.
bool may_run(const Stream& stream) {
  if (stream.queue.empty()) return false;
  const Operation& first = stream.queue.front();
  if (first.wait_for && !first.wait_for->done) return false;
  if (!stream.blocking) return true;
  const bool is_legacy = &stream == stream.context->legacy.get();
  for (const auto& other : stream.context->streams) {
    const bool ordered = other.get() != &stream && other->blocking && (is_legacy || other == stream.context->legacy);
    if (ordered && !other->queue.empty() && other->queue.front().ticket < first.ticket) return false;
  }
  return true;
}

Code run(const Work& work, std::string* report) {
  if (work.launch) return run_launch(*work.launch, report);
  if (!work.action) return kSuccess;
  in_host_function_ = work.kind == Kind::host;
  const Code code = work.action(report);
  in_host_function_ = false;
  return code;
}

// Runs the first operation of some stream. False if no stream has one that may run.
bool run_one() {
  std::vector<std::shared_ptr<Stream>> ready;
  for (const auto& [_, context] : world().contexts.live)
    for (const auto& stream : context->streams)
      if (may_run(*stream)) ready.push_back(stream);
  if (ready.empty()) return false;
  const std::shared_ptr<Stream> chosen = ready[ready.size() > 1 ? random_below(ready.size()) : 0];
  Stream& stream = *chosen;
  Context& context = *stream.context;
  const Operation operation = std::move(stream.queue.front());
  stream.queue.pop_front();
  std::string report;
  enter_run(operation.run);
  engine::begin_touches();
  Code code = operation.work.conditional ? run_conditional(stream, operation, &report)
                                               : run(operation.work, &report);
  if (operation.sets) {
    operation.sets->done = true;
    operation.sets->time = std::chrono::steady_clock::now();
  }
  if (code == kSuccess) {
    report = end_touches(operation.order);
    if (!report.empty()) code = kLaunchFailed;
  }
  if (code != kSuccess) fail(context, code, report);
  forget_if_done(stream);
  return true;
}

}  // namespace

bool in_host_function() { return in_host_function_; }

void fail(Context& context, int code, const std::string& report) {
  if (world().report.empty()) world().report = report;
  // For programs that ask for no report.
  if (std::getenv("CUDA_ON_CPU_REPORT")) std::fprintf(stderr, "cuda-on-cpu: %s\n", report.c_str());
  if (!context.sticky) context.sticky = code;
  std::string ignored;
  for (const auto& stream : context.streams) {
    for (const auto& operation : stream->queue) {
      if (operation.sets) operation.sets->done = true;
      if (operation.work.kind == Kind::release) operation.work.action(&ignored);
    }
    stream->queue.clear();
  }
}

void forget_if_done(Stream& stream) {
  auto& streams = stream.context->streams;
  if (!stream.destroyed || !stream.queue.empty()) return;
  if (stream.blocking) join(stream.context->legacy->clock, stream.clock);
  for (auto i = streams.begin(); i != streams.end(); ++i)
    if (i->get() == &stream) {
      streams.erase(i);
      return;
    }
}

void enqueue(Stream& stream, Operation operation) {
  if (!operation.order) operation.order = order_of(stream, next_order(stream), operation.work, {});
  operation.ticket = world().next_ticket++;
  stream.queue.push_back(std::move(operation));
}

std::vector<Placed> in_some_order(const Nodes& nodes, const Path& path) {
  const auto reach = reach_of(nodes);
  std::vector<u32> waiting(nodes.size());
  for (u32 i = 0; i < waiting.size(); ++i) waiting[i] = i;
  std::map<const Node*, bool> placed;
  std::vector<Placed> order;
  while (!waiting.empty()) {
    std::vector<size_t> ready;
    for (size_t i = 0; i < waiting.size(); ++i) {
      bool free = true;
      for (const auto& dependency : nodes[waiting[i]]->dependencies) free = free && placed[dependency.get()];
      if (free) ready.push_back(i);
    }
    const size_t pick = ready[ready.size() > 1 ? random_below(ready.size()) : 0];
    const u32 number = waiting[pick];
    const std::shared_ptr<Node>& node = nodes[number];
    waiting.erase(waiting.begin() + pick);
    placed[node.get()] = true;
    Path here = path;
    here.push_back({reach, number});
    if (!node->work.child) {
      order.push_back({node->work, std::move(here)});
      continue;
    }
    for (Placed& inner : in_some_order(*node->work.child, here)) order.push_back(std::move(inner));
  }
  return order;
}

void enqueue_graph(Stream& stream, const Nodes& nodes, const Run& start) {
  const auto run = start.values.empty() ? nullptr : std::make_shared<Run>(start);
  const Order base = next_order(stream);
  for (Placed& placed : in_some_order(nodes)) {
    auto order = order_of(stream, base, placed.work, std::move(placed.path));
    enqueue(stream, {0, std::move(placed.work), nullptr, nullptr, run, 0, std::move(order)});
  }
}

void run_some() {
  if (random_below(4) != 0) return;
  for (u32 left = 1 + random_below(3); left > 0 && run_one(); --left) {
  }
}

namespace {

// Runs work until `done`, or until nothing is left that may run.
void drain(const std::function<bool()>& done) {
  while (!done() && run_one()) {
  }
}

int settle(Context& context) {
  const std::string damage = check_guard_zones();
  if (!damage.empty()) fail(context, kIllegalAddress, damage);
  return context.sticky;
}

}  // namespace

int wait_for_stream(Stream& stream) {
  if (&stream == stream.context->legacy.get()) {
    // Waiting for the null stream is waiting for the blocking streams too.
    drain([&] {
      for (const auto& other : stream.context->streams)
        if (other->blocking && !other->queue.empty()) return false;
      return true;
    });
  } else {
    drain([&] { return stream.queue.empty(); });
  }
  order_host_after(stream);
  return settle(*stream.context);
}

int wait_for_context(Context& context) {
  drain([&] {
    for (const auto& stream : context.streams)
      if (!stream->queue.empty()) return false;
    return true;
  });
  for (const auto& stream : context.streams) order_host_after(*stream);
  return settle(context);
}

int wait_for_mark(Context& context, const std::shared_ptr<Mark>& mark) {
  drain([&] { return mark->done; });
  order_host_after(mark->clock);
  return settle(context);
}

}  // namespace cuda_on_cpu
