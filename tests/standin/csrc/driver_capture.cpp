// Stream capture: which calls a capture forbids, how it spreads by events, and how it ends in a graph.
#include <algorithm>
#include <set>
#include <utility>

#include "driver.h"

namespace cuda_on_cpu {
namespace {

thread_local Mode thread_mode = Mode::global;  // cuThreadExchangeStreamCaptureMode

bool reaches(const Nodes& from, const Nodes& targets) {
  std::set<const Node*> seen;
  Nodes open = from;
  while (!open.empty()) {
    const auto node = open.back();
    open.pop_back();
    if (!seen.insert(node.get()).second) continue;
    for (const auto& dependency : node->dependencies) open.push_back(dependency);
  }
  return std::all_of(targets.begin(), targets.end(), [&](const auto& node) { return seen.count(node.get()) > 0; });
}

// Into a graph of its own, or into the one that `graph` is the handle of, after the nodes `after`.
int begin(Context& context, void* handle, int mode, void* graph = nullptr, void* const* after = nullptr,
          size_t count = 0) {
  std::shared_ptr<Stream> stream;
  if (const int code = find_stream(context, handle, &stream)) return code;
  if (mode < 0 || mode > 2) return kInvalidValue;
  const auto target = graph ? world().graphs.find(graph) : std::make_shared<Graph>();
  Nodes tips;
  if (!target || !find_nodes(*target, after, count, &tips)) return kInvalidValue;
  if (stream == stream->context->legacy) return kCaptureUnsupported;
  if (stream->capture) return kIllegalState;
  static u64 next_id = 1;
  auto capture = std::make_shared<Capture>();
  capture->id = next_id++;
  capture->mode = static_cast<Mode>(mode);
  capture->thread = std::this_thread::get_id();
  capture->origin = stream.get();
  capture->streams.push_back(stream);
  capture->graph = target;
  capture->graph_handle = graph;
  stream->capture = capture;
  stream->tips = std::move(tips);
  world().captures.push_back(capture);
  return kSuccess;
}

int end(Context& context, void* handle, void** graph) {
  std::shared_ptr<Stream> stream;
  if (const int code = find_stream(context, handle, &stream)) return code;
  if (!graph) return kInvalidValue;
  *graph = nullptr;
  const auto capture = stream->capture;
  if (!capture) return kIllegalState;
  if (capture->origin != stream.get()) {
    invalidate(*capture);
    return kCaptureUnmatched;
  }
  if (capture->mode != Mode::relaxed && capture->thread != std::this_thread::get_id()) return kCaptureWrongThread;

  bool joined = true;
  for (const auto& other : capture->streams) joined = joined && reaches(stream->tips, other->tips);
  finish(*capture);
  if (capture->invalid) return kCaptureInvalidated;
  if (!joined) return kCaptureUnjoined;
  *graph = capture->graph_handle ? capture->graph_handle : world().graphs.add(capture->graph);
  return kSuccess;
}

int info(Context& context, void* handle, int* status, u64* id, void** graph, void*** tips, size_t* count) {
  std::shared_ptr<Stream> stream;
  if (const int code = find_stream(context, handle, &stream)) return code;
  if (!status) return kInvalidValue;
  if (stream == stream->context->legacy)
    for (const auto& other : stream->context->streams)
      if (other->blocking && other->capture) return kCaptureImplicit;
  const auto& capture = stream->capture;
  *status = !capture ? 0 : capture->invalid ? 2 : 1;
  if (*status != 1) return kSuccess;
  if (id) *id = capture->id;
  if (graph) {
    if (!capture->graph_handle) capture->graph_handle = world().graphs.add(capture->graph);
    *graph = capture->graph_handle;
  }
  stream->tip_handles.clear();
  for (const auto& tip : stream->tips) stream->tip_handles.push_back(node_handle(tip));
  if (tips) *tips = stream->tip_handles.data();
  if (count) *count = stream->tip_handles.size();
  return kSuccess;
}

}  // namespace

void invalidate(Capture& capture) { capture.invalid = true; }

void finish(Capture& capture) {
  for (const auto& stream : std::exchange(capture.streams, {})) {
    stream->capture = nullptr;
    stream->tips.clear();
  }
  capture.ended = true;
}

int refuse_in_capture() {
  auto& captures = world().captures;
  const auto gone = [](const auto& capture) { return capture.expired(); };
  captures.erase(std::remove_if(captures.begin(), captures.end(), gone), captures.end());
  bool refused = false;
  for (const auto& weak : captures) {
    const auto capture = weak.lock();
    if (capture->ended || thread_mode == Mode::relaxed) continue;
    const bool mine = capture->thread == std::this_thread::get_id();
    const bool forbids = mine ? capture->mode != Mode::relaxed
                              : capture->mode == Mode::global && thread_mode == Mode::global;
    if (forbids) invalidate(*capture);
    refused = refused || forbids;
  }
  return refused ? kCaptureUnsupported : kSuccess;
}

int refuse_capturing(const Stream& stream) {
  if (!stream.capture) return kSuccess;
  if (stream.capture->invalid) return kCaptureInvalidated;
  invalidate(*stream.capture);
  return kCaptureUnsupported;
}

int refuse_capturing(const Context& context) {
  int refusal = kSuccess;
  for (const auto& stream : context.streams)
    if (const int code = refuse_capturing(*stream)) refusal = code;
  return refusal;
}

int refuse_implicit(const Context& context) {
  int refusal = kSuccess;
  for (const auto& stream : context.streams)
    if (stream->blocking && stream->capture) {
      invalidate(*stream->capture);
      refusal = kCaptureImplicit;
    }
  return refusal;
}

int submit(Stream& stream, Work work) {
  if (!stream.capture) {
    if (&stream == stream.context->legacy.get())
      if (const int code = refuse_implicit(*stream.context)) return code;
    enqueue(stream, {0, std::move(work), nullptr, nullptr});
    return kSuccess;
  }
  if (stream.capture->invalid) return kCaptureInvalidated;
  auto node = std::make_shared<Node>();
  node->work = std::move(work);
  node->dependencies = stream.tips;
  stream.tips = {node};
  stream.capture->graph->nodes.push_back(node);
  return kSuccess;
}

EXPORT int cuStreamBeginCapture_v2(void* stream, int mode) {
  return in_context(__func__, [&](Context& context) -> int { return begin(context, stream, mode); });
}

// Edge data is for programmatic launches, which the stand-in does not have.
EXPORT int cuStreamBeginCaptureToGraph(void* stream, void* graph, void* const* after, const void* edges, size_t count,
                                       int mode) {
  return in_context(__func__, [&](Context& context) -> int {
    if (!graph) return kInvalidValue;
    return edges ? kNotSupported : begin(context, stream, mode, graph, after, count);
  });
}

EXPORT int cuStreamEndCapture(void* stream, void** graph) {
  return in_context(__func__, [&](Context& context) -> int { return end(context, stream, graph); });
}

EXPORT int cuStreamIsCapturing(void* stream, int* status) {
  return in_context(__func__, [&](Context& context) -> int {
    return info(context, stream, status, nullptr, nullptr, nullptr, nullptr);
  });
}

EXPORT int cuStreamGetCaptureInfo(void* stream, int* status, u64* id) {
  return in_context(__func__, [&](Context& context) -> int {
    return info(context, stream, status, id, nullptr, nullptr, nullptr);
  });
}

EXPORT int cuStreamGetCaptureInfo_v2(void* stream, int* status, u64* id, void** graph, void*** tips, size_t* count) {
  return in_context(__func__, [&](Context& context) -> int {
    return info(context, stream, status, id, graph, tips, count);
  });
}

EXPORT int cuStreamGetCaptureInfo_v3(void* stream, int* status, u64* id, void** graph, void*** tips, const void** edges,
                                     size_t* count) {
  return in_context(__func__, [&](Context& context) -> int {
    if (edges) *edges = nullptr;
    return info(context, stream, status, id, graph, tips, count);
  });
}

EXPORT int cuThreadExchangeStreamCaptureMode(int* mode) {
  return initialized(__func__, [&]() -> int {
    if (!mode || *mode < 0 || *mode > 2) return kInvalidValue;
    const int before = static_cast<int>(thread_mode);
    thread_mode = static_cast<Mode>(*mode);
    *mode = before;
    return kSuccess;
  });
}

}  // namespace cuda_on_cpu
