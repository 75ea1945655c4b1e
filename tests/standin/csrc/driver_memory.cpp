// Allocations of device and pinned host memory.
#include "driver.h"

namespace cuda_on_cpu {
namespace {

u64 address_of(const void* p) { return reinterpret_cast<u64>(p); }
void* pointer(u64 address) { return reinterpret_cast<void*>(address); }

int take(Context& context, size_t bytes, Space space, bool pooled, void** out) {
  if (bytes == 0) return kInvalidValue;
  void* base = allocate(bytes, space);
  if (!base) return kOutOfMemory;
  world().allocations[base] = {&context, bytes, space, pooled};
  *out = base;
  return kSuccess;
}

Allocation* allocation_at(void* base, Space space) {
  const auto found = world().allocations.find(base);
  const bool usable = found != world().allocations.end() && found->second.space == space && !found->second.freed;
  return usable ? &found->second : nullptr;
}

// Damage behind its end is the context's error, found before the pages go.
Code give_back(void* base, std::string* report) {
  *report = check_guard_zone(base);
  release(base);
  world().allocations.erase(base);
  return report->empty() ? kSuccess : kIllegalAddress;
}

int give_back_now(Context& context, void* base) {
  std::string report;
  const Code code = give_back(base, &report);
  if (code != kSuccess) fail(context, code, report);
  return code;
}

// The range in `ranges` (first address, bytes) that holds all of [p, p + bytes).
template <class Ranges>
bool holds(const Ranges& ranges, const void* p, size_t bytes) {
  auto after = ranges.upper_bound(const_cast<void*>(p));
  if (after == ranges.begin()) return false;
  const auto& [base, size] = *--after;
  const size_t offset = static_cast<const char*>(p) - static_cast<const char*>(base);
  return offset <= size && bytes <= size - offset;
}

int allocate_pinned(const char* name, void** out, size_t bytes) {
  return in_context(name, [&](Context& context) -> int {
    if (!out) return kInvalidValue;
    if (const int code = refuse_in_capture()) return code;
    return take(context, bytes, Space::pinned, false, out);
  });
}

}  // namespace

bool is_device_range(const void* p, size_t bytes) {
  Space space;
  if (find(p, bytes, nullptr, nullptr, &space)) return space == Space::device;
  for (const auto& [_, module] : world().modules.live)
    if (holds(module->globals, p, bytes)) return true;
  return false;
}

bool is_pinned_range(const void* p, size_t bytes) {
  Space space;
  return (find(p, bytes, nullptr, nullptr, &space) && space == Space::pinned) || holds(world().registered, p, bytes);
}

void free_all_of(Context& context) {
  auto& allocations = world().allocations;
  for (auto i = allocations.begin(); i != allocations.end();) {
    const auto next = std::next(i);
    if (i->second.context == &context) give_back_now(context, i->first);
    i = next;
  }
}

EXPORT int cuMemAlloc_v2(u64* out, size_t bytes) {
  return in_context(__func__, [&](Context& context) -> int {
    if (!out) return kInvalidValue;
    if (const int code = refuse_in_capture()) return code;
    void* base = nullptr;
    const int code = take(context, bytes, Space::device, false, &base);
    *out = address_of(base);
    return code;
  });
}

// Inside a capture CUDA would make a memory node, which the stand-in does not have.
EXPORT int cuMemAllocAsync(u64* out, size_t bytes, void* stream_handle) {
  return in_context(__func__, [&](Context& context) -> int {
    std::shared_ptr<Stream> stream;
    if (!out) return kInvalidValue;
    if (const int code = find_stream(context, stream_handle, &stream)) return code;
    if (refuse_capturing(*stream)) return kNotSupported;
    void* base = nullptr;
    const int code = take(*stream->context, bytes, Space::device, true, &base);
    *out = address_of(base);
    return code;
  });
}

// Waits for all work of the context, except for memory of cuMemAllocAsync, as CUDA says.
EXPORT int cuMemFree_v2(u64 address) {
  return in_context(__func__, [&](Context&) -> int {
    if (address == 0) return kSuccess;
    if (const int code = refuse_in_capture()) return code;
    Allocation* allocation = allocation_at(pointer(address), Space::device);
    if (!allocation) return kInvalidValue;
    Context& owner = *allocation->context;
    const int code = allocation->pooled ? kSuccess : wait_for_context(owner);
    const int damage = give_back_now(owner, pointer(address));
    return code ? code : damage;
  });
}

EXPORT int cuMemFreeAsync(u64 address, void* stream_handle) {
  return in_context(__func__, [&](Context& context) -> int {
    std::shared_ptr<Stream> stream;
    if (const int code = find_stream(context, stream_handle, &stream)) return code;
    Allocation* allocation = allocation_at(pointer(address), Space::device);
    if (!allocation) return kInvalidValue;
    if (refuse_capturing(*stream)) return kNotSupported;
    Work work;
    work.kind = Kind::release;
    work.action = [=](std::string* report) { return give_back(pointer(address), report); };
    if (const int code = submit(*stream, std::move(work))) return code;
    allocation->freed = true;
    return kSuccess;
  });
}

EXPORT int cuMemHostAlloc(void** out, size_t bytes, unsigned flags) {
  return flags > 7 ? call(__func__, []() -> int { return kInvalidValue; }) : allocate_pinned(__func__, out, bytes);
}

EXPORT int cuMemAllocHost_v2(void** out, size_t bytes) { return allocate_pinned(__func__, out, bytes); }

// Waits for nothing: a copy that is still queued then fails.
EXPORT int cuMemFreeHost(void* p) {
  return in_context(__func__, [&](Context&) -> int {
    if (!p) return kSuccess;
    if (const int code = refuse_in_capture()) return code;
    const Allocation* allocation = allocation_at(p, Space::pinned);
    return allocation ? give_back_now(*allocation->context, p) : kInvalidValue;
  });
}

EXPORT int cuMemHostGetDevicePointer_v2(u64* out, void* p, unsigned flags) {
  return in_context(__func__, [&](Context&) -> int {
    if (!out || flags != 0) return kInvalidValue;
    // Kernels reach pinned allocations, not registered memory: the registry of the engine does not know it.
    if (holds(world().registered, p, 1)) return kNotSupported;
    if (!is_pinned_range(p, 1)) return kInvalidValue;
    *out = address_of(p);
    return kSuccess;
  });
}

EXPORT int cuMemHostRegister_v2(void* p, size_t bytes, unsigned) {
  return in_context(__func__, [&](Context&) -> int {
    if (!p || bytes == 0) return kInvalidValue;
    if (const int code = refuse_in_capture()) return code;
    if (is_pinned_range(p, 1)) return kHostMemoryAlreadyRegistered;
    world().registered[p] = bytes;
    return kSuccess;
  });
}

EXPORT int cuMemHostUnregister(void* p) {
  return in_context(__func__, [&](Context&) -> int {
    if (const int code = refuse_in_capture()) return code;
    return world().registered.erase(p) ? kSuccess : kHostMemoryNotRegistered;
  });
}

EXPORT int cuMemGetInfo_v2(size_t* free, size_t* total) {
  return in_context(__func__, [&](Context&) -> int {
    if (!free || !total) return kInvalidValue;
    *total = device_memory();
    *free = device_memory() - live_bytes(Space::device);
    return kSuccess;
  });
}

EXPORT int cuMemGetAddressRange_v2(u64* out, size_t* bytes, u64 address) {
  return in_context(__func__, [&](Context&) -> int {
    void* base;
    size_t size;
    if (!find(pointer(address), 1, &base, &size, nullptr)) return kNotFound;
    if (out) *out = address_of(base);
    if (bytes) *bytes = size;
    return kSuccess;
  });
}

}  // namespace cuda_on_cpu
