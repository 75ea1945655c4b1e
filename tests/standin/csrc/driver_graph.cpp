// Graphs: what a capture recorded, its instantiation, replay and update.
#include <algorithm>

#include "driver.h"

namespace cuda_on_cpu {
namespace {

// CUDA_KERNEL_NODE_PARAMS_v2
struct KernelNodeParams {
  void* function;
  unsigned grid[3], block[3], shared;
  void** arguments;
  void** extra;
  void* kernel;
  void* context;
};

constexpr u64 kAutoFree = 1, kUpload = 2, kDeviceLaunch = 4, kNodePriority = 8;

std::shared_ptr<const Nodes> copy_of(const Nodes& nodes) {
  std::map<const Node*, std::shared_ptr<Node>> twins;
  Nodes copy;
  for (const auto& node : nodes) {
    auto twin = std::make_shared<Node>();
    twin->work = node->work;
    if (const auto& conditional = node->work.conditional)
      twin->work.body = copy_of(node->work.body ? *node->work.body : conditional->body->nodes);
    for (const auto& dependency : node->dependencies) twin->dependencies.push_back(twins.at(dependency.get()));
    twins[node.get()] = twin;
    copy.push_back(twin);
  }
  return std::make_shared<const Nodes>(std::move(copy));
}

int instantiate(void** out, void* handle, u64 flags) {
  const auto graph = world().graphs.find(handle);
  if (!graph) return kInvalidHandle;
  if (!out || flags & ~(kAutoFree | kUpload | kDeviceLaunch | kNodePriority)) return kInvalidValue;
  if (graph->is_body) return kInvalidValue;  // it runs in its node alone
  if (flags & kDeviceLaunch) return flags & kAutoFree ? kInvalidValue : kNotSupported;
  auto exec = std::make_shared<GraphExec>();
  if (const int code = check_conditionals(*graph, &exec->start)) return code;
  exec->nodes = copy_of(graph->nodes);
  exec->originals = graph->nodes;
  *out = world().execs.add(exec);
  return kSuccess;
}

// A kernel of another context, or of one that is gone, cannot run here.
bool belongs_to(const Nodes& nodes, const Context& context) {
  return std::all_of(nodes.begin(), nodes.end(), [&](const auto& node) {
    const Work& work = node->work;
    if (work.child) return belongs_to(*work.child, context);
    if (work.body) return belongs_to(*work.body, context);
    return !work.launch || work.launch->function->module->context.lock().get() == &context;
  });
}

}  // namespace

void* node_handle(const std::shared_ptr<Node>& node) {
  if (!node->handle) node->handle = world().nodes.add(node);
  return node->handle;
}

bool find_nodes(const Graph& graph, void* const* handles, size_t count, Nodes* out) {
  if (count > 0 && !handles) return false;
  for (size_t i = 0; i < count; ++i) {
    const auto node = world().nodes.find(handles[i]);
    if (!node || std::find(graph.nodes.begin(), graph.nodes.end(), node) == graph.nodes.end()) return false;
    out->push_back(node);
  }
  return true;
}

EXPORT int cuGraphCreate(void** out, unsigned flags) {
  return initialized(__func__, [&]() -> int {
    if (!out || flags != 0) return kInvalidValue;
    *out = world().graphs.add(std::make_shared<Graph>());
    return kSuccess;
  });
}

EXPORT int cuGraphDestroy(void* handle) {
  return initialized(__func__, [&]() -> int {
    const auto graph = world().graphs.find(handle);
    if (!graph) return kInvalidHandle;
    if (graph->is_body) return kInvalidValue;
    forget_bodies(*graph);
    for (const auto& node : graph->nodes) world().nodes.live.erase(node->handle);
    world().graphs.live.erase(handle);
    return kSuccess;
  });
}

EXPORT int cuGraphGetNodes(void* handle, void** out, size_t* count) {
  return initialized(__func__, [&]() -> int {
    const auto graph = world().graphs.find(handle);
    if (!graph) return kInvalidHandle;
    if (!count) return kInvalidValue;
    const size_t given = out ? std::min(*count, graph->nodes.size()) : graph->nodes.size();
    for (size_t i = 0; out && i < given; ++i) out[i] = node_handle(graph->nodes[i]);
    for (size_t i = given; out && i < *count; ++i) out[i] = nullptr;
    *count = given;
    return kSuccess;
  });
}

EXPORT int cuGraphNodeGetType(void* handle, int* type) {
  return initialized(__func__, [&]() -> int {
    const auto node = world().nodes.find(handle);
    if (!node) return kInvalidHandle;
    if (!type) return kInvalidValue;
    *type = static_cast<int>(node->work.kind);
    return kSuccess;
  });
}

EXPORT int cuGraphKernelNodeGetParams_v2(void* handle, KernelNodeParams* out) {
  return initialized(__func__, [&]() -> int {
    const auto node = world().nodes.find(handle);
    if (!node) return kInvalidHandle;
    if (!out || !node->work.launch) return kInvalidValue;
    const Launch& launch = *node->work.launch;
    *out = {};
    out->function = launch.function_handle;
    std::copy_n(launch.shape.grid, 3, out->grid);
    std::copy_n(launch.shape.block, 3, out->block);
    out->shared = launch.shape.dynamic_shared;
    out->arguments = const_cast<void**>(launch.arguments.data());
    if (const auto context = launch.function->module->context.lock()) out->context = context->handle;
    return kSuccess;
  });
}

EXPORT int cuGraphInstantiateWithFlags(void** exec, void* graph, u64 flags) {
  return initialized(__func__, [&]() -> int { return instantiate(exec, graph, flags); });
}

EXPORT int cuGraphInstantiate(void** exec, void* graph, u64 flags) {
  return initialized(__func__, [&]() -> int { return instantiate(exec, graph, flags); });
}

EXPORT int cuGraphExecDestroy(void* handle) {
  return initialized(__func__, [&]() -> int { return world().execs.live.erase(handle) ? kSuccess : kInvalidHandle; });
}

EXPORT int cuGraphExecKernelNodeSetParams_v2(void* exec_handle, void* node, const KernelNodeParams* parameters) {
  return in_context(__func__, [&](Context&) -> int {
    const auto exec = world().execs.find(exec_handle);
    const auto original = world().nodes.find(node);
    if (!exec || !original) return kInvalidHandle;
    if (!parameters) return kInvalidValue;
    const size_t place = std::find(exec->originals.begin(), exec->originals.end(), original) - exec->originals.begin();
    if (place == exec->originals.size() || original->work.kind != Kind::kernel) return kInvalidValue;
    std::shared_ptr<const Launch> launch;
    if (const int code = make_launch(parameters->function, parameters->grid, parameters->block, parameters->shared,
                                     parameters->arguments, original->work.launch->shape.cooperative, &launch))
      return code;
    // A new copy: launches that are queued keep the parameters they were enqueued with.
    const auto nodes = copy_of(*exec->nodes);
    (*nodes)[place]->work.launch = launch;
    exec->nodes = nodes;
    return kSuccess;
  });
}

EXPORT int cuGraphUpload(void* exec, void* stream_handle) {
  return in_context(__func__, [&](Context& context) -> int {
    std::shared_ptr<Stream> stream;
    if (const int code = find_stream(context, stream_handle, &stream)) return code;
    if (!world().execs.find(exec)) return kInvalidHandle;
    return refuse_capturing(*stream);
  });
}

EXPORT int cuGraphLaunch(void* exec_handle, void* stream_handle) {
  return in_context(__func__, [&](Context& context) -> int {
    std::shared_ptr<Stream> stream;
    if (const int code = find_stream(context, stream_handle, &stream)) return code;
    const auto exec = world().execs.find(exec_handle);
    if (!exec || !belongs_to(*exec->nodes, *stream->context)) return kInvalidHandle;
    if (stream->capture) {
      if (!exec->start.values.empty()) return kNotSupported;  // a child graph may hold no conditional node
      Work work;
      work.kind = Kind::child;
      work.child = exec->nodes;
      return submit(*stream, std::move(work));
    }
    if (stream == stream->context->legacy)
      if (const int code = refuse_implicit(*stream->context)) return code;
    enqueue_graph(*stream, *exec->nodes, exec->start);
    return kSuccess;
  });
}

}  // namespace cuda_on_cpu
