// Contexts: the primary one and those of cuCtxCreate, and each thread's stack of current ones.
#include "driver.h"

namespace cuda_on_cpu {
namespace {

thread_local std::vector<void*> stack;  // the last one is current

void* current_handle() { return stack.empty() ? nullptr : stack.back(); }

void set_current(void* handle) {
  if (!stack.empty()) stack.pop_back();
  if (handle) stack.push_back(handle);
}

int create(void** out, unsigned flags, int device) {
  if (!out) return kInvalidValue;
  if (device < 0 || device >= device_count()) return kInvalidDevice;
  std::shared_ptr<Context> context;
  create_context(false, flags, &context);
  stack.push_back(*out = context->handle);
  return kSuccess;
}

}  // namespace

int find_current(std::shared_ptr<Context>* out) {
  if (!current_handle()) return kInvalidContext;
  *out = world().contexts.find(current_handle());
  return *out ? kSuccess : kContextDestroyed;
}

void create_context(bool primary, unsigned flags, std::shared_ptr<Context>* out) {
  static u64 next_id = 1;
  auto context = std::make_shared<Context>();
  context->handle = world().contexts.add(context);
  context->id = next_id++;
  context->flags = flags;
  context->primary = primary;
  context->legacy = new_stream(*context, true);
  *out = context;
}

void destroy_context(const std::shared_ptr<Context>& context) {
  const auto mine = [&](const auto& object) { return object.context == context.get(); };
  if (!context->sticky) wait_for_context(*context);
  for (const auto& stream : context->streams)
    if (const auto capture = stream->capture) finish(*capture);
  free_all_of(*context);
  world().functions.remove_if([&](const Function& f) { return f.module->context.lock() == context; });
  world().modules.remove_if([&](const Module& m) { return m.context.lock() == context; });
  world().streams.remove_if(mine);
  world().events.remove_if(mine);
  world().contexts.live.erase(context->handle);
}

EXPORT int cuDevicePrimaryCtxRetain(void** out, int device) {
  return initialized(__func__, [&]() -> int {
    if (!out) return kInvalidValue;
    if (device < 0 || device >= device_count()) return kInvalidDevice;
    if (!world().primary) create_context(true, world().primary_flags, &world().primary);
    ++world().primary_count;
    *out = world().primary->handle;
    return kSuccess;
  });
}

static void destroy_primary() {
  if (world().primary) destroy_context(world().primary);
  world().primary = nullptr;
}

EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
  return initialized(__func__, [&]() -> int {
    if (device < 0 || device >= device_count()) return kInvalidDevice;
    if (world().primary_count == 0) return kInvalidContext;
    if (--world().primary_count == 0) destroy_primary();
    return kSuccess;
  });
}

EXPORT int cuDevicePrimaryCtxReset_v2(int device) {
  return initialized(__func__, [&]() -> int {
    if (device < 0 || device >= device_count()) return kInvalidDevice;
    destroy_primary();
    return kSuccess;
  });
}

EXPORT int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
  return initialized(__func__, [&]() -> int {
    if (device < 0 || device >= device_count()) return kInvalidDevice;
    if (!flags || !active) return kInvalidValue;
    *flags = world().primary_flags;
    *active = world().primary ? 1 : 0;
    return kSuccess;
  });
}

EXPORT int cuDevicePrimaryCtxSetFlags_v2(int device, unsigned flags) {
  return initialized(__func__, [&]() -> int {
    if (device < 0 || device >= device_count()) return kInvalidDevice;
    world().primary_flags = flags;
    if (world().primary) world().primary->flags = flags;
    return kSuccess;
  });
}

EXPORT int cuCtxCreate_v2(void** out, unsigned flags, int device) {
  return initialized(__func__, [&]() -> int { return create(out, flags, device); });
}

// The v3 and v4 parameters ask for partitions of the device, which this one does not have.
EXPORT int cuCtxCreate_v3(void** out, void* parameters, int count, unsigned flags, int device) {
  const bool plain = !parameters && count == 0;
  return initialized(__func__, [&]() -> int { return plain ? create(out, flags, device) : kNotSupported; });
}

EXPORT int cuCtxCreate_v4(void** out, void* parameters, unsigned flags, int device) {
  return initialized(__func__, [&]() -> int { return parameters ? kNotSupported : create(out, flags, device); });
}

EXPORT int cuCtxDestroy_v2(void* handle) {
  return initialized(__func__, [&]() -> int {
    const auto context = world().contexts.find(handle);
    if (!context || context->primary) return kInvalidContext;
    if (current_handle() == handle) stack.pop_back();
    destroy_context(context);
    return kSuccess;
  });
}

EXPORT int cuCtxGetCurrent(void** out) {
  return initialized(__func__, [&]() -> int {
    if (!out) return kInvalidValue;
    *out = current_handle();
    return kSuccess;
  });
}

EXPORT int cuCtxSetCurrent(void* handle) {
  return initialized(__func__, [&]() -> int {
    if (handle && !world().contexts.find(handle)) return kInvalidContext;
    set_current(handle);
    return kSuccess;
  });
}

EXPORT int cuCtxPushCurrent_v2(void* handle) {
  return initialized(__func__, [&]() -> int {
    if (!world().contexts.find(handle)) return kInvalidContext;
    stack.push_back(handle);
    return kSuccess;
  });
}

EXPORT int cuCtxPopCurrent_v2(void** out) {
  return initialized(__func__, [&]() -> int {
    if (stack.empty()) return kInvalidContext;
    if (out) *out = stack.back();
    stack.pop_back();
    return kSuccess;
  });
}

EXPORT int cuCtxGetDevice(int* device) {
  return initialized(__func__, [&]() -> int {
    std::shared_ptr<Context> context;
    if (!device) return kInvalidValue;
    if (const int code = find_current(&context)) return code;
    *device = 0;
    return kSuccess;
  });
}

// A null context stands for the current one.
static int of_context(const char* name, void* handle, const std::function<void(Context&)>& body) {
  return initialized(name, [&]() -> int {
    const auto context = world().contexts.find(handle ? handle : current_handle());
    if (!context) return kInvalidContext;
    body(*context);
    return kSuccess;
  });
}

EXPORT int cuCtxGetApiVersion(void* handle, unsigned* version) {
  return of_context(__func__, handle, [&](Context&) { *version = 13000; });
}

EXPORT int cuCtxGetId(void* handle, u64* id) {
  return of_context(__func__, handle, [&](Context& context) { *id = context.id; });
}

EXPORT int cuCtxGetFlags(unsigned* flags) {
  return of_context(__func__, nullptr, [&](Context& context) { *flags = context.flags; });
}

EXPORT int cuCtxSetFlags(unsigned flags) {
  return of_context(__func__, nullptr, [&](Context& context) { context.flags = flags; });
}

EXPORT int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return of_context(__func__, nullptr, [&](Context&) {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
  });
}

EXPORT int cuCtxSynchronize() {
  return in_context(__func__, [&](Context& context) -> int {
    if (const int code = refuse_capturing(context)) return code;
    if (const int code = refuse_in_capture()) return code;
    return wait_for_context(context);
  });
}

}  // namespace cuda_on_cpu
