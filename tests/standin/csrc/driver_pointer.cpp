// What can be asked of a pointer: whose memory it is, of what kind, and where its range lies.
#include "driver.h"

namespace cuda_on_cpu {
namespace {

// The memory that an address lies in. Fields are 0 where CUDA would say nothing.
struct Found {
  Context* context;
  unsigned type;  // CUmemorytype: 0 unknown, 1 host, 2 device
  int device;
  u64 begin;
  size_t bytes;
  bool reached;  // by kernels of its own context
  bool plain;    // of cuMemAlloc: its end is an end, whatever follows
};

constexpr unsigned kHost = 1, kDevice = 2;

u64 number(const void* p) { return reinterpret_cast<u64>(p); }

template <class Ranges>
bool look_in(const Ranges& ranges, u64 address, Found* out) {
  for (const auto& [base, size] : ranges)
    if (address - number(base) < size) {
      out->begin = number(base);
      out->bytes = size;
      return true;
    }
  return false;
}

bool look(u64 address, Found* out) {
  *out = {};
  void* base;
  size_t size;
  Space space;
  if (find(reinterpret_cast<void*>(address), 1, &base, &size, &space)) {
    const auto allocation = world().allocations.find(base);
    if (allocation == world().allocations.end()) return false;
    const Allocation& a = allocation->second;
    const bool pinned = space == Space::pinned;
    *out = {a.context, pinned ? kHost : kDevice, a.device, number(base), size, true, !pinned && !a.pooled};
    return true;
  }
  for (const auto& [_, module] : world().modules.live)
    if (const auto context = module->context.lock(); context && look_in(module->globals, address, out)) {
      out->context = context.get();
      out->type = kDevice;
      out->reached = true;
      return true;
    }
  // Copies reach registered memory, kernels do not: the registry of the engine does not know it.
  if (!look_in(world().registered, address, out)) return false;
  out->type = kHost;
  return true;
}

bool is_wide(int attribute) {
  return attribute == 1 || attribute == 3 || attribute == 4 || attribute == 7 || attribute == 11 || attribute == 12;
}

// False for a pointer that CUDA knows nothing of, or an attribute that the stand-in does not have.
bool attribute_of(const Context& current, u64 address, int attribute, u64* out) {
  Found found;
  if (!look(address, &found)) return false;
  // There is no access between contexts here, nor between devices.
  const bool reached = found.reached && found.device == 0 && (found.type == kHost || found.context == &current);
  switch (attribute) {
    case 1:  // context
      *out = found.context ? number(found.context->handle) : 0;
      return true;
    case 2:  // memory type: host or device
      *out = found.type;
      return true;
    case 3:  // device pointer
      *out = reached ? address : 0;
      return reached;
    case 4:  // host pointer
      *out = found.type == kHost ? address : 0;
      return found.type == kHost;
    case 7:  // buffer id: addresses are never reused
    case 11:  // first address of the allocation
      *out = found.begin;
      return true;
    case 8:  // managed
      *out = 0;
      return true;
    case 9:  // device
      *out = found.device;
      return true;
    case 10:  // can be given to another process by cuIpcGetMemHandle
      *out = found.plain;
      return true;
    case 12:  // bytes of the allocation
      *out = found.bytes;
      return true;
    case 13:  // mapped
      *out = 1;
      return true;
    default:
      return false;
  }
}

void give(int attribute, u64 value, void* out) {
  if (is_wide(attribute))
    *static_cast<u64*>(out) = value;
  else
    *static_cast<unsigned*>(out) = static_cast<unsigned>(value);
}

}  // namespace

EXPORT int cuPointerGetAttribute(void* out, int attribute, u64 address) {
  return in_context(__func__, [&](Context& context) -> int {
    u64 value = 0;
    if (!out || !attribute_of(context, address, attribute, &value)) return kInvalidValue;
    give(attribute, value, out);
    return kSuccess;
  });
}

// For a pointer that CUDA knows nothing of: success, and zeros.
EXPORT int cuPointerGetAttributes(unsigned count, const int* attributes, void** out, u64 address) {
  return in_context(__func__, [&](Context& context) -> int {
    if (!attributes || !out) return kInvalidValue;
    for (unsigned i = 0; i < count; ++i) {
      u64 value = 0;
      if (!attribute_of(context, address, attributes[i], &value)) value = 0;
      give(attributes[i], value, out[i]);
    }
    return kSuccess;
  });
}

}  // namespace cuda_on_cpu
