// Conditional nodes: their handles and bodies, and what a launch of their graph does with them. IF with one body and WHILE;
// an IF with an else, and SWITCH, are not supported.
#include <algorithm>

#include "driver.h"

namespace cuda_on_cpu {
namespace {

// CUgraphNodeParams, with CUDA_CONDITIONAL_NODE_PARAMS as the member of its union.
struct NodeParams {
  int type, reserved0[3];
  union {
    long long reserved1[29];
    struct {
      u64 handle;
      int type;
      unsigned size;
      void** graphs;  // out
      void* context;
    } conditional;
  };
  long long reserved2;
};
static_assert(sizeof(NodeParams) == 256, "cuda.h: CUgraphNodeParams");

constexpr int kConditionalNode = 13, kIf = 0, kWhile = 1, kSwitch = 2;
constexpr unsigned kAssignDefault = 1;

// Far more than any loop of a test needs: one that does not end is a fault, with a report.
constexpr u64 kMostIterations = 100'000;

std::shared_ptr<Run> present;  // of the operation that runs

// The handle of this number, of `graph` or of one that `graph` is inside of.
std::shared_ptr<Handle> find_handle(const std::shared_ptr<Graph>& graph, u64 number) {
  for (auto around = graph; around; around = around->parent.lock())
    for (const auto& handle : around->handles)
      if (handle->number == number) return handle;
  return nullptr;
}

int add_node(void** out, void* graph_handle, void* const* after, size_t count, NodeParams* params) {
  const auto graph = world().graphs.find(graph_handle);
  if (!out || !graph || !params) return kInvalidValue;
  if (std::any_of(std::begin(params->reserved0), std::end(params->reserved0), [](int n) { return n != 0; }) ||
      params->reserved2 != 0)
    return kInvalidValue;
  if (params->type != kConditionalNode) return kNotSupported;  // graphs are captured, not built by hand
  auto& wanted = params->conditional;
  auto node = std::make_shared<Node>();
  if (!find_nodes(*graph, after, count, &node->dependencies)) return kInvalidValue;
  if (wanted.type < kIf || wanted.type > kSwitch || wanted.size == 0) return kInvalidValue;
  if (wanted.type == kSwitch || (wanted.type == kIf && wanted.size == 2)) return kNotSupported;
  if (wanted.size != 1) return kInvalidValue;
  const auto handle = find_handle(graph, wanted.handle);
  const auto context = world().contexts.find(wanted.context);
  if (!handle || handle->used || !context || handle->context.lock() != context) return kInvalidValue;

  handle->used = true;
  auto body = std::make_shared<Graph>();
  body->parent = graph;
  body->is_body = true;
  auto conditional = std::make_shared<Conditional>();
  *conditional = {wanted.type == kWhile, wanted.handle, body, world().graphs.add(body)};
  wanted.graphs = &conditional->body_handle;
  node->work.kind = Kind::conditional;
  node->work.conditional = conditional;
  graph->nodes.push_back(node);
  *out = node_handle(node);
  return kSuccess;
}

// What a body may hold, at any depth.
bool fits_in_body(const Nodes& nodes, const std::shared_ptr<Context>& context) {
  return std::all_of(nodes.begin(), nodes.end(), [&](const auto& node) {
    const Work& work = node->work;
    switch (work.kind) {
      case Kind::kernel:
        return work.launch->function->module->context.lock() == context;
      case Kind::child:
        return fits_in_body(*work.child, context);
      case Kind::conditional:
        return fits_in_body(work.conditional->body->nodes, context);
      case Kind::copy:
      case Kind::set:
      case Kind::empty:
        return true;
      case Kind::host:
      case Kind::release:
        return false;
    }
    return false;
  });
}

// Puts the operations in front of all that the stream has left.
void run_next(Stream& stream, std::vector<Operation> operations) {
  for (auto i = operations.rbegin(); i != operations.rend(); ++i) stream.queue.push_front(std::move(*i));
}

}  // namespace

int check_conditionals(const Graph& graph, Run* start) {
  for (const auto& handle : graph.handles) {
    if (!handle->used) return kInvalidValue;
    auto& value = start->values[handle->number];
    if (handle->assigns_default) value = handle->default_value;
  }
  for (const auto& node : graph.nodes) {
    const auto& conditional = node->work.conditional;
    if (!conditional) continue;
    const auto context = find_handle(conditional->body, conditional->handle)->context.lock();
    if (!context) return kInvalidValue;
    if (!fits_in_body(conditional->body->nodes, context)) return kNotSupported;
    if (const int code = check_conditionals(*conditional->body, start)) return code;
  }
  return kSuccess;
}

Code run_conditional(Stream& stream, const Operation& operation, std::string* report) {
  const Conditional& conditional = *operation.work.conditional;
  const std::string name = std::string(conditional.repeats ? "WHILE" : "IF") + " node of handle " +
                           std::to_string(conditional.handle) + ": ";
  const std::optional<u32> value = operation.run->values.at(conditional.handle);
  if (!value) {
    *report = name + "its value was never set in this launch, and has no default";
    return kLaunchFailed;
  }
  if (*value == 0) return kSuccess;
  if (operation.iteration == kMostIterations) {
    *report = name + "it has run " + std::to_string(kMostIterations) + " times and would go on";
    return kLaunchFailed;
  }
  std::vector<Operation> next;
  for (Placed& placed : in_some_order(*operation.work.body)) {
    // Of the body as one, but under its own name.
    auto order = order_of(stream, *operation.order, placed.work, operation.order->path);
    next.push_back({operation.ticket, std::move(placed.work), nullptr, nullptr, operation.run, 0, std::move(order)});
  }
  if (conditional.repeats) {
    next.push_back(operation);
    next.back().iteration++;
  }
  run_next(stream, std::move(next));
  return kSuccess;
}

void enter_run(std::shared_ptr<Run> run) { present = std::move(run); }

bool set_conditional(u64 handle, u32 value) {
  if (!present) return false;
  const auto found = present->values.find(handle);
  if (found == present->values.end()) return false;
  found->second = value;
  return true;
}

void forget_bodies(const Graph& graph) {
  for (const auto& node : graph.nodes) {
    const auto& conditional = node->work.conditional;
    if (!conditional) continue;
    forget_bodies(*conditional->body);
    for (const auto& inner : conditional->body->nodes) world().nodes.live.erase(inner->handle);
    world().graphs.live.erase(conditional->body_handle);
  }
}

EXPORT int cuGraphConditionalHandleCreate(u64* out, void* graph_handle, void* context_handle, unsigned default_value,
                                          unsigned flags) {
  return initialized(__func__, [&]() -> int {
    const auto graph = world().graphs.find(graph_handle);
    const auto context = world().contexts.find(context_handle);
    if (!out || !graph || !context || flags > kAssignDefault) return kInvalidValue;
    auto handle = std::make_shared<Handle>();
    handle->number = reinterpret_cast<u64>(new_handle());
    handle->context = context;
    handle->assigns_default = flags == kAssignDefault;
    handle->default_value = default_value;
    graph->handles.push_back(handle);
    *out = handle->number;
    return kSuccess;
  });
}

EXPORT int cuGraphAddNode(void** out, void* graph, void* const* after, size_t count, NodeParams* params) {
  return initialized(__func__, [&]() -> int { return add_node(out, graph, after, count, params); });
}

EXPORT int cuGraphAddNode_v2(void** out, void* graph, void* const* after, const void* edges, size_t count,
                             NodeParams* params) {
  return initialized(__func__, [&]() -> int {
    return edges ? kNotSupported : add_node(out, graph, after, count, params);
  });
}

}  // namespace cuda_on_cpu
