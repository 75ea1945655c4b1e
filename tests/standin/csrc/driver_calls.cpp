// The gate of every call, and the control API: counters, injected failures, reports, seeds, traffic and leak checks.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <mutex>

#include "driver.h"
#include "driver_race.h"

namespace cuda_on_cpu {
namespace {

struct Injection {
  int code;
  unsigned after;
};

struct Calls {
  std::map<std::string, u64> counts;
  std::map<std::string, Injection> injections;
};

std::recursive_mutex& lock() {
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

Calls& calls() {
  static auto* calls = new Calls;
  return *calls;
}

bool tracing() {
  static const bool on = std::getenv("CUDA_ON_CPU_TRACE") && std::strcmp(std::getenv("CUDA_ON_CPU_TRACE"), "0") != 0;
  return on;
}

}  // namespace

World& world() {
  static auto* world = new World;
  return *world;
}

void* new_handle() {
  static u64 next = 0x1000;
  return reinterpret_cast<void*>(next += 0x10);
}

Gate::Gate(const char* name) : name_(name) {
  lock().lock();
  ++calls().counts[name];
  if (in_host_function()) {
    result = kNotPermitted;
    return;
  }
  const auto injection = calls().injections.find(name);
  if (injection == calls().injections.end() || injection->second.after-- > 0) return;
  result = injection->second.code;
  calls().injections.erase(injection);
}

Gate::~Gate() {
  if (tracing()) std::fprintf(stderr, "cuda-on-cpu: %s -> %d\n", name_, result);
  lock().unlock();
}

namespace {

std::lock_guard<std::recursive_mutex> guard() { return std::lock_guard<std::recursive_mutex>(lock()); }

// A copy for the caller, who frees it with cuda_on_cpu_free_text.
char* give(const std::string& text) { return strdup(text.c_str()); }

}  // namespace

EXPORT u64 cuda_on_cpu_calls(const char* name) {
  const auto held = guard();
  if (name) {
    const auto found = calls().counts.find(name);
    return found == calls().counts.end() ? 0 : found->second;
  }
  u64 total = 0;
  for (const auto& [_, count] : calls().counts) total += count;
  return total;
}

EXPORT void cuda_on_cpu_reset_calls() {
  const auto held = guard();
  calls().counts.clear();
}

EXPORT char* cuda_on_cpu_call_log() {
  const auto held = guard();
  std::string log;
  for (const auto& [name, count] : calls().counts) log += name + " " + std::to_string(count) + "\n";
  return give(log);
}

// False if this library has no such function: a misspelt injection would otherwise never strike, and a test never fail.
EXPORT bool cuda_on_cpu_inject(const char* function, int code, unsigned after) {
  const auto held = guard();
  Dl_info self;
  dladdr(reinterpret_cast<void*>(&cuda_on_cpu_inject), &self);
  void* library = dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  const bool known = library && std::strncmp(function, "cu", 2) == 0 && dlsym(library, function);
  if (library) dlclose(library);
  if (known) calls().injections[function] = {code, after};
  return known;
}

EXPORT char* cuda_on_cpu_take_report() {
  const auto held = guard();
  if (world().report.empty()) return nullptr;
  char* text = give(world().report);
  world().report.clear();
  return text;
}

EXPORT void cuda_on_cpu_free_text(char* text) { std::free(text); }

EXPORT void cuda_on_cpu_seed(u64 value) {
  const auto held = guard();
  set_seed(value);
}

EXPORT u64 cuda_on_cpu_traffic(int store, unsigned width) {
  const auto held = guard();
  return traffic(store != 0, width);
}

EXPORT void cuda_on_cpu_reset_traffic() {
  const auto held = guard();
  reset_traffic();
}

// Forgets device errors, reports, injections and counters, not objects or memory.
EXPORT void cuda_on_cpu_reset() {
  const auto held = guard();
  for (const auto& [_, context] : world().contexts.live) context->sticky = 0;
  world().report.clear();
  calls().counts.clear();
  calls().injections.clear();
  let_streams_race(false);
  let_events_lie(false);
  reset_traffic();
}

// A description of the first damaged guard zone, once, or null.
EXPORT char* cuda_on_cpu_check_guard_zones() {
  const auto held = guard();
  const std::string damage = check_guard_zones();
  return damage.empty() ? nullptr : give(damage);
}

EXPORT void cuda_on_cpu_sparse_memory(u64 bytes) {
  const auto held = guard();
  set_sparse_memory(bytes);
}

EXPORT void cuda_on_cpu_run_only(u32 first, u32 last) {
  const auto held = guard();
  run_only(first, last);
}

EXPORT u64 cuda_on_cpu_live_bytes() {
  const auto held = guard();
  u64 bytes = 0;
  for (const auto& [_, allocation] : world().allocations) bytes += allocation.bytes;
  return bytes;
}

// No race between streams is reported until the next reset.
EXPORT void cuda_on_cpu_let_streams_race() {
  const auto held = guard();
  let_streams_race(true);
}

// cuEventQuery says that an event is done which is not, until it is ended or the next reset.
EXPORT void cuda_on_cpu_let_events_lie(bool lie) {
  const auto held = guard();
  let_events_lie(lie);
}

// Says that the allocation at `address` is another device's, of which there is none here. False if none begins there.
EXPORT bool cuda_on_cpu_move_to_device(u64 address, int device) {
  const auto held = guard();
  const auto found = world().allocations.find(reinterpret_cast<void*>(address));
  if (found == world().allocations.end()) return false;
  found->second.device = device;
  return true;
}

}  // namespace cuda_on_cpu
