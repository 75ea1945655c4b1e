// Copies and sets. A copy reads and writes pinned memory when it runs, not when it is called; pageable memory is staged
// at the call towards the device, and waited for on the way back.
#include <cstring>

#include "driver.h"
#include "engine_touch.h"
#include "memory_map.h"

namespace cuda_on_cpu {
namespace {

enum class Place { device, pinned, pageable, invalid };

Place place_of(const void* p, size_t bytes) {
  if (is_device_range(p, bytes)) return Place::device;
  if (is_pinned_range(p, bytes)) return Place::pinned;
  const size_t offset = static_cast<const unsigned char*>(p) - engine::arena.begin;
  return !p || offset < engine::arena.size ? Place::invalid : Place::pageable;
}

bool usable(const void* p, size_t bytes) { return is_device_range(p, bytes) || is_pinned_range(p, bytes); }

Code out_of_bounds(const char* what, const void* p, size_t bytes, std::string* report) {
  *report = std::string(what) + " of " + std::to_string(bytes) + " bytes touches " + describe_address(p) +
            ", which was valid when the call was made but not when it ran";
  return kIllegalAddress;
}

Work copy_work(void* to, const void* from, size_t bytes, bool to_host, bool from_host) {
  Work work;
  work.kind = Kind::copy;
  work.action = [=](std::string* report) {
    if (!to_host && !usable(to, bytes)) return out_of_bounds("a copy", to, bytes, report);
    if (!from_host && !usable(from, bytes)) return out_of_bounds("a copy", from, bytes, report);
    std::memmove(to, from, bytes);
    engine::touch(to, bytes, engine::Touch::store);
    if (!from_host) engine::touch(from, bytes, engine::Touch::copied);
    return kSuccess;
  };
  return work;
}

int copy(Stream& stream, void* to, const void* from, size_t bytes, bool wait) {
  const Place target = place_of(to, bytes), source = place_of(from, bytes);
  if (target == Place::invalid || source == Place::invalid) return kInvalidValue;
  const bool pageable = target == Place::pageable || source == Place::pageable;
  if (pageable)
    if (const int code = refuse_capturing(stream)) return code;
  if (source == Place::pageable && target != Place::pageable) {
    const auto* begin = static_cast<const unsigned char*>(from);
    const auto staged = std::make_shared<std::vector<unsigned char>>(begin, begin + bytes);
    Work work = copy_work(to, staged->data(), bytes, false, true);
    work.action = [inner = work.action, staged](std::string* report) { return inner(report); };
    if (const int code = submit(stream, std::move(work))) return code;
  } else {
    const bool to_host = target == Place::pageable, from_host = source == Place::pageable;
    if (const int code = submit(stream, copy_work(to, from, bytes, to_host, from_host))) return code;
    wait = wait || to_host;
  }
  return wait ? wait_for_stream(stream) : kSuccess;
}

void* pointer(u64 address) { return reinterpret_cast<void*>(address); }

enum class Host { none, target, source, either };

// Which side may be pageable memory: the other one must be known to CUDA.
bool sides_fit(const void* to, const void* from, size_t bytes, Host host) {
  const bool to_known = usable(to, bytes), from_known = usable(from, bytes);
  return (to_known || host == Host::target || host == Host::either) &&
         (from_known || host == Host::source || host == Host::either);
}

int copy_now(const char* name, void* to, const void* from, size_t bytes, Host host) {
  return in_context(name, [&](Context& context) -> int {
    if (const int code = refuse_in_capture()) return code;
    if (const int code = refuse_implicit(context)) return code;
    if (bytes == 0) return kSuccess;
    if (!sides_fit(to, from, bytes, host)) return kInvalidValue;
    // Between two places on the device nothing waits on the host, as CUDA says.
    const bool on_device = is_device_range(to, bytes) && is_device_range(from, bytes);
    return copy(*context.legacy, to, from, bytes, !on_device);
  });
}

int copy_later(const char* name, void* to, const void* from, size_t bytes, Host host, void* stream_handle) {
  return in_context(name, [&](Context& context) -> int {
    std::shared_ptr<Stream> stream;
    if (const int code = find_stream(context, stream_handle, &stream)) return code;
    if (bytes == 0) return kSuccess;
    if (!sides_fit(to, from, bytes, host)) return kInvalidValue;
    return copy(*stream, to, from, bytes, false);
  });
}

template <class Value>
int set(Stream& stream, u64 address, Value value, size_t count) {
  const size_t bytes = count * sizeof(Value);
  if (count == 0) return kSuccess;
  if (address % sizeof(Value) != 0 || !usable(pointer(address), bytes)) return kInvalidValue;
  Work work;
  work.kind = Kind::set;
  work.action = [=](std::string* report) {
    if (!usable(pointer(address), bytes)) return out_of_bounds("a set", pointer(address), bytes, report);
    for (size_t i = 0; i < count; ++i) std::memcpy(pointer(address + i * sizeof(Value)), &value, sizeof(Value));
    engine::touch(pointer(address), bytes, engine::Touch::store);
    return kSuccess;
  };
  return submit(stream, std::move(work));
}

// On the null stream, and the host does not wait: CUDA calls this synchronous all the same.
template <class Value>
int set_now(const char* name, u64 address, Value value, size_t count) {
  return in_context(name, [&](Context& context) -> int {
    if (const int code = refuse_in_capture()) return code;
    return set(*context.legacy, address, value, count);
  });
}

template <class Value>
int set_later(const char* name, u64 address, Value value, size_t count, void* stream_handle) {
  return in_context(name, [&](Context& context) -> int {
    std::shared_ptr<Stream> stream;
    if (const int code = find_stream(context, stream_handle, &stream)) return code;
    return set(*stream, address, value, count);
  });
}

}  // namespace

EXPORT int cuMemcpyHtoD_v2(u64 to, const void* from, size_t bytes) {
  return copy_now(__func__, pointer(to), from, bytes, Host::source);
}
EXPORT int cuMemcpyDtoH_v2(void* to, u64 from, size_t bytes) {
  return copy_now(__func__, to, pointer(from), bytes, Host::target);
}
EXPORT int cuMemcpyDtoD_v2(u64 to, u64 from, size_t bytes) {
  return copy_now(__func__, pointer(to), pointer(from), bytes, Host::none);
}
EXPORT int cuMemcpy(u64 to, u64 from, size_t bytes) {
  return copy_now(__func__, pointer(to), pointer(from), bytes, Host::either);
}
EXPORT int cuMemcpyHtoDAsync_v2(u64 to, const void* from, size_t bytes, void* stream) {
  return copy_later(__func__, pointer(to), from, bytes, Host::source, stream);
}
EXPORT int cuMemcpyDtoHAsync_v2(void* to, u64 from, size_t bytes, void* stream) {
  return copy_later(__func__, to, pointer(from), bytes, Host::target, stream);
}
EXPORT int cuMemcpyDtoDAsync_v2(u64 to, u64 from, size_t bytes, void* stream) {
  return copy_later(__func__, pointer(to), pointer(from), bytes, Host::none, stream);
}
EXPORT int cuMemcpyAsync(u64 to, u64 from, size_t bytes, void* stream) {
  return copy_later(__func__, pointer(to), pointer(from), bytes, Host::either, stream);
}

EXPORT int cuMemsetD8_v2(u64 to, unsigned char value, size_t count) { return set_now(__func__, to, value, count); }
EXPORT int cuMemsetD16_v2(u64 to, unsigned short value, size_t count) { return set_now(__func__, to, value, count); }
EXPORT int cuMemsetD32_v2(u64 to, unsigned value, size_t count) { return set_now(__func__, to, value, count); }
EXPORT int cuMemsetD8Async(u64 to, unsigned char value, size_t count, void* stream) {
  return set_later(__func__, to, value, count, stream);
}
EXPORT int cuMemsetD16Async(u64 to, unsigned short value, size_t count, void* stream) {
  return set_later(__func__, to, value, count, stream);
}
EXPORT int cuMemsetD32Async(u64 to, unsigned value, size_t count, void* stream) {
  return set_later(__func__, to, value, count, stream);
}

}  // namespace cuda_on_cpu
