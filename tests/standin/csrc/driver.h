// What the files of the driver (driver_*.cpp) share: the objects behind CUDA's handles, and the gate that every
// exported function passes. One lock guards it all; kernels run under it, so the emulated device does one thing at a
// time, in an order that the seeded generator picks among those that streams and events allow.
#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine.h"
#include "order.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace cuda_on_cpu {

// The CUresult values that the driver itself returns; those of the engine are in `Code`.
constexpr int kInvalidValue = 1, kNotInitialized = 3, kNoDevice = 100, kInvalidDevice = 101, kInvalidImage = 200,
              kInvalidContext = 201, kFileNotFound = 301, kInvalidHandle = 400, kIllegalState = 401, kNotFound = 500,
              kNotReady = 600, kPrimaryContextActive = 708, kContextDestroyed = 709, kHostMemoryAlreadyRegistered = 712,
              kHostMemoryNotRegistered = 713, kCooperativeTooLarge = 720, kNotPermitted = 800, kNotSupported = 801,
              kCaptureUnsupported = 900, kCaptureInvalidated = 901, kCaptureMerge = 902, kCaptureUnmatched = 903,
              kCaptureUnjoined = 904, kCaptureIsolation = 905, kCaptureImplicit = 906, kCapturedEvent = 907,
              kCaptureWrongThread = 908;

constexpr int kComputeMajor = 9, kComputeMinor = 0, kMultiprocessors = 4, kWarp = 32, kMaxThreadsPerBlock = 1024,
              kThreadsPerMultiprocessor = 2048, kBlocksPerMultiprocessor = 32, kSharedPerBlock = 48 << 10,
              kSharedPerBlockOptIn = 227 << 10, kSharedPerMultiprocessor = 228 << 10;

struct Context;
struct Stream;

// ---- modules and launches (driver_module.cpp, driver_launch.cpp) ----------------------------------------------------

struct Module {
  std::weak_ptr<Context> context;
  void* library = nullptr;  // of dlopen; closed when the last function and the last queued launch are gone
  std::map<const void*, size_t> globals;  // those that cuModuleGetGlobal gave out
  std::map<std::string, void*> functions;
  Module() = default;
  Module(const Module&) = delete;
  ~Module();
};

struct Function {
  std::shared_ptr<Module> module;
  void* module_handle;
  std::string name;
  Kernel kernel;
  bool loaded;  // lazy loading: a first launch loads, which a capture refuses
  size_t max_dynamic_shared = kSharedPerBlock;
};

// Everything a launch needs, arguments copied: this is what freezes host values into a graph.
struct Launch {
  void* function_handle;
  std::shared_ptr<Function> function;
  Shape shape;
  std::vector<unsigned char> bytes;
  std::vector<void*> arguments;  // into `bytes`
};

// ---- work of streams and graphs (driver_queue.cpp, driver_graph.cpp) ------------------------------------------------

// The values of CUgraphNodeType.
enum class Kind : int { kernel = 0, copy = 1, set = 2, host = 3, child = 4, empty = 5, release = 11, conditional = 13 };

struct Node;
struct Graph;
using Nodes = std::vector<std::shared_ptr<Node>>;

// A node that runs its body once if, or for as long as, the value of its handle is not 0.
struct Conditional {
  bool repeats;
  u64 handle;
  std::shared_ptr<Graph> body;
  void* body_handle;  // in the array that the node's creation pointed the caller at
};

struct Work {
  Kind kind = Kind::empty;
  std::shared_ptr<const Launch> launch;              // of a kernel
  std::function<Code(std::string* report)> action;  // of a copy, set, host function or release
  std::shared_ptr<const Nodes> child;                // of a child graph
  std::shared_ptr<const Conditional> conditional;    // of a conditional node
  std::shared_ptr<const Nodes> body;                 // of an instantiated conditional node
};

struct Node {
  Work work;
  Nodes dependencies;      // all of them stand before the node in its graph
  void* handle = nullptr;  // once someone asked for it
};

// What cuGraphConditionalHandleCreate made.
struct Handle {
  u64 number;
  std::weak_ptr<Context> context;
  bool assigns_default;
  u32 default_value;
  bool used = false;  // by a conditional node: one at most
};

struct Graph {
  Nodes nodes;
  std::weak_ptr<Graph> parent;  // of a body
  bool is_body = false;         // owned by its node
  std::vector<std::shared_ptr<Handle>> handles;
};

// The conditional values of one launch of a graph. A value that nothing has set is missing.
struct Run {
  std::map<u64, std::optional<u32>> values;
};

struct GraphExec {
  std::shared_ptr<const Nodes> nodes;  // a copy, in the order of `originals`
  Nodes originals;                     // the graph's own nodes: an update names one of them
  Run start;                           // with the defaults of all handles
};

void let_events_lie(bool lie);  // cuEventQuery says that everything is done

// One cuEventRecord: set when the stream reaches it.
struct Mark {
  bool done = false;
  StreamClock clock;
  std::chrono::steady_clock::time_point time;
};

struct Operation {
  u64 ticket;  // order of submission over all streams
  Work work;
  std::shared_ptr<Mark> wait_for, sets;
  std::shared_ptr<Run> run;  // of a node of a graph with conditional handles
  u64 iteration = 0;         // of a WHILE node
  std::shared_ptr<const Order> order;  // set when it is enqueued
};

// ---- captures (driver_capture.cpp) ----------------------------------------------------------------------------------

enum class Mode : int { global = 0, thread_local_ = 1, relaxed = 2 };

struct Capture {
  u64 id;
  Mode mode;
  std::thread::id thread;
  Stream* origin;
  std::shared_ptr<Graph> graph;
  void* graph_handle = nullptr;  // as soon as cuStreamGetCaptureInfo gives it out, or from the begin
  bool invalid = false, ended = false;
  std::vector<std::shared_ptr<Stream>> streams;
};

// ---- streams, events, contexts --------------------------------------------------------------------------------------

struct Stream {
  Context* context;
  bool blocking;  // ordered with the legacy null stream
  int priority = 0;
  unsigned flags = 0;
  u64 id = 0;
  std::deque<Operation> queue;
  StreamClock clock;  // what its next operation comes after
  std::shared_ptr<Capture> capture;
  Nodes tips;  // in a capture: what the next node depends on
  std::vector<void*> tip_handles;  // what cuStreamGetCaptureInfo pointed at
  bool destroyed = false;          // stays in its context until its work is done
};

struct Event {
  Context* context;
  unsigned flags;
  std::shared_ptr<Mark> mark;        // null until recorded
  std::shared_ptr<Capture> capture;  // if it was last recorded in a capture
  Nodes tips;
};

struct Context {
  void* handle = nullptr;
  u64 id = 0;
  unsigned flags = 0;
  bool primary = false;
  int sticky = 0;  // a device error: every later call returns it
  std::shared_ptr<Stream> legacy;
  std::map<std::thread::id, std::shared_ptr<Stream>> per_thread;
  std::vector<std::shared_ptr<Stream>> streams;  // also those above, and destroyed ones with work left
};

struct Allocation {
  Context* context;
  size_t bytes;
  Space space;
  bool pooled;         // of cuMemAllocAsync: cuMemFree does not wait for its users
  bool freed = false;  // cuMemFreeAsync was called, but the stream has not come to it
  int device = 0;      // another one after cuda_on_cpu_move_to_device: nothing here reaches it
};

// Numbers, not addresses, and never given twice: a stale handle, or one of another kind, is always found out.
void* new_handle();

template <class T>
struct Handles {
  std::unordered_map<void*, std::shared_ptr<T>> live;

  void* add(std::shared_ptr<T> object) {
    void* handle = new_handle();
    live[handle] = std::move(object);
    return handle;
  }
  std::shared_ptr<T> find(const void* handle) const {
    const auto found = live.find(const_cast<void*>(handle));
    return found == live.end() ? nullptr : found->second;
  }
  template <class Condition>
  void remove_if(Condition condition) {
    for (auto i = live.begin(); i != live.end();) i = condition(*i->second) ? live.erase(i) : std::next(i);
  }
};

struct World {
  bool initialized = false;
  Handles<Context> contexts;
  Handles<Stream> streams;
  Handles<Event> events;
  Handles<Module> modules;
  Handles<Function> functions;
  Handles<Graph> graphs;
  Handles<GraphExec> execs;
  Handles<Node> nodes;
  std::map<void*, Allocation> allocations;  // by first address
  std::map<void*, size_t> registered;       // host memory of cuMemHostRegister
  std::vector<std::weak_ptr<Capture>> captures;
  std::shared_ptr<Context> primary;
  int primary_count = 0;
  unsigned primary_flags = 0;
  u64 next_ticket = 1;
  StreamClock host;  // what the host has waited for
  std::string report;  // of the first fault since the last take
};
World& world();  // never destroyed: other libraries' destructors may still call

// ---- the gate (driver_calls.cpp) ------------------------------------------------------------------------------------

// Takes the lock, counts and traces the call, and applies an injected failure.
class Gate {
 public:
  explicit Gate(const char* name);
  ~Gate();
  int result = 0;

 private:
  const char* name_;
};

int device_count();
int find_current(std::shared_ptr<Context>* out);  // 0, or why the thread has no usable context
void run_some();                                  // driver_queue.cpp: queued work may run at any moment

template <class Body>
int call(const char* name, Body body) {
  Gate gate(name);
  if (gate.result == 0) gate.result = body();
  return gate.result;
}

template <class Body>
int initialized(const char* name, Body body) {
  return call(name, [&]() -> int { return world().initialized ? body() : kNotInitialized; });
}

// For all that needs a current context; a device error of that context comes back from everything.
template <class Body>
int in_context(const char* name, Body body) {
  return initialized(name, [&]() -> int {
    std::shared_ptr<Context> context;
    if (const int code = find_current(&context)) return code;
    run_some();
    return context->sticky ? context->sticky : body(*context);
  });
}

// ---- between the files ----------------------------------------------------------------------------------------------

// driver_queue.cpp
void fail(Context& context, int code, const std::string& report);  // makes the error sticky, drops the queued work
bool in_host_function();                                           // where CUDA forbids calls
void enqueue(Stream& stream, Operation operation);                 // whatever captures say
struct Placed {
  Work work;
  Path path;
};
std::vector<Placed> in_some_order(const Nodes& nodes, const Path& path = {});  // a random one that the edges allow
void enqueue_graph(Stream& stream, const Nodes& nodes, const Run& start);
void forget_if_done(Stream& stream);                               // a destroyed stream without work
// These run work until there is none before the point, then check the guard zones; they return the context's error.
int wait_for_stream(Stream& stream);
int wait_for_context(Context& context);
int wait_for_mark(Context& context, const std::shared_ptr<Mark>& mark);

// driver_order.cpp
Order next_order(Stream& stream);  // of the next operation, without its name
std::shared_ptr<const Order> order_of(const Stream& stream, const Order& base, const Work& work, Path path);
std::shared_ptr<const Reach> reach_of(const Nodes& nodes);
void order_host_after(const StreamClock& clock);
void order_host_after(const Stream& stream);

// driver_stream.cpp
std::shared_ptr<Stream> new_stream(Context& context, bool blocking);
int find_stream(Context& context, void* handle, std::shared_ptr<Stream>* out);  // also null, 1 and 2

// driver_capture.cpp
int submit(Stream& stream, Work work);       // runs later, or becomes a node of the capture
int refuse_in_capture();                     // 900 for a call that a capture of this or another thread forbids
int refuse_capturing(const Stream& stream);  // 900 or 901 for a call on a capturing stream
int refuse_capturing(const Context& context);
int refuse_implicit(const Context& context);  // 906 for work on the legacy stream
void invalidate(Capture& capture);
void finish(Capture& capture);  // its streams are free again

// driver_conditional.cpp
int check_conditionals(const Graph& graph, Run* start);  // at instantiation: bodies, and handles that no node uses
Code run_conditional(Stream& stream, const Operation& operation, std::string* report);
void enter_run(std::shared_ptr<Run> run);  // of the graph whose kernel runs next; null for a launch of its own
void forget_bodies(const Graph& graph);    // handles of all that is inside of it

// driver_graph.cpp, driver_module.cpp, driver_launch.cpp
void* node_handle(const std::shared_ptr<Node>& node);
bool find_nodes(const Graph& graph, void* const* handles, size_t count, Nodes* out);  // false if one is not of `graph`
int load(Function& function);  // 900 if a capture forbids it
int make_launch(void* function, const unsigned* grid, const unsigned* block, size_t shared, void** arguments,
                bool cooperative, std::shared_ptr<const Launch>* out);
Code run_launch(const Launch& launch, std::string* report);
int active_blocks(const Function& function, int block_size, size_t dynamic_shared);

// driver_memory.cpp
bool is_device_range(const void* p, size_t bytes);
bool is_pinned_range(const void* p, size_t bytes);
void free_all_of(Context& context);

// driver_context.cpp
void create_context(bool primary, unsigned flags, std::shared_ptr<Context>* out);
void destroy_context(const std::shared_ptr<Context>& context);

}  // namespace cuda_on_cpu
