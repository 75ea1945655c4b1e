// Streams and events.
#include "driver.h"

namespace cuda_on_cpu {

std::shared_ptr<Stream> new_stream(Context& context, bool blocking) {
  static u64 next_id = 1;
  auto stream = std::make_shared<Stream>();
  stream->context = &context;
  stream->blocking = blocking;
  stream->id = next_id++;
  context.streams.push_back(stream);
  return stream;
}

int find_stream(Context& context, void* handle, std::shared_ptr<Stream>* out) {
  if (handle == nullptr || handle == reinterpret_cast<void*>(1)) {
    *out = context.legacy;
    return kSuccess;
  }
  if (handle == reinterpret_cast<void*>(2)) {
    auto& mine = context.per_thread[std::this_thread::get_id()];
    if (!mine) mine = new_stream(context, true);
    *out = mine;
    return kSuccess;
  }
  *out = world().streams.find(handle);
  if (!*out) return kInvalidHandle;
  return (*out)->context->sticky;
}

namespace {

template <class Body>
int on_stream(const char* name, void* handle, Body body) {
  return in_context(name, [&](Context& context) -> int {
    std::shared_ptr<Stream> stream;
    if (const int code = find_stream(context, handle, &stream)) return code;
    return body(*stream, stream);
  });
}

template <class Body>
int on_event(const char* name, void* handle, Body body) {
  return in_context(name, [&](Context& context) -> int {
    const auto event = world().events.find(handle);
    return event ? body(context, *event) : kInvalidHandle;
  });
}

constexpr unsigned kNonBlocking = 1, kDisableTiming = 2;

int create(Context& context, void** out, unsigned flags, int priority) {
  if (!out || flags > kNonBlocking) return kInvalidValue;
  const auto stream = new_stream(context, flags != kNonBlocking);
  stream->flags = flags;
  stream->priority = priority < -5 ? -5 : priority > 0 ? 0 : priority;
  *out = world().streams.add(stream);
  return kSuccess;
}

// Asking or waiting for an event: 907 for one recorded in a capture, 900 where a capture forbids it.
int refuse_event(Event& event) {
  if (event.capture) {
    if (!event.capture->ended) invalidate(*event.capture);
    return kCapturedEvent;
  }
  return refuse_in_capture();
}

}  // namespace

EXPORT int cuStreamCreate(void** out, unsigned flags) {
  return in_context(__func__, [&](Context& context) -> int { return create(context, out, flags, 0); });
}

EXPORT int cuStreamCreateWithPriority(void** out, unsigned flags, int priority) {
  return in_context(__func__, [&](Context& context) -> int { return create(context, out, flags, priority); });
}

// As in CUDA, work that is still queued runs. A capture without its first stream has no way to end.
EXPORT int cuStreamDestroy_v2(void* handle) {
  return in_context(__func__, [&](Context&) -> int {
    const auto stream = world().streams.find(handle);
    if (!stream) return kInvalidHandle;
    if (const auto capture = stream->capture) {
      invalidate(*capture);
      if (capture->origin == stream.get()) finish(*capture);
    }
    world().streams.live.erase(handle);
    stream->destroyed = true;
    forget_if_done(*stream);
    return kSuccess;
  });
}

EXPORT int cuStreamSynchronize(void* handle) {
  return on_stream(__func__, handle, [&](Stream& stream, auto&) -> int {
    if (const int code = refuse_capturing(stream)) return code;
    if (const int code = refuse_in_capture()) return code;
    if (&stream == stream.context->legacy.get())
      if (const int code = refuse_implicit(*stream.context)) return code;
    return wait_for_stream(stream);
  });
}

EXPORT int cuStreamQuery(void* handle) {
  return on_stream(__func__, handle, [&](Stream& stream, auto&) -> int {
    if (const int code = refuse_capturing(stream)) return code;
    if (const int code = refuse_in_capture()) return code;
    if (!stream.queue.empty()) return kNotReady;
    order_host_after(stream);
    return kSuccess;
  });
}

EXPORT int cuStreamWaitEvent(void* handle, void* event_handle, unsigned flags) {
  return on_stream(__func__, handle, [&](Stream& stream, const std::shared_ptr<Stream>& shared) -> int {
    const auto event = world().events.find(event_handle);
    if (!event) return kInvalidHandle;
    if (flags != 0) return kNotSupported;
    if (event->capture) {
      if (event->capture->ended) return kCapturedEvent;
      if (&stream == stream.context->legacy.get()) {
        invalidate(*event->capture);
        return kCaptureImplicit;
      }
      if (stream.capture && stream.capture != event->capture) {
        invalidate(*stream.capture);
        invalidate(*event->capture);
        return kCaptureMerge;
      }
      if (event->capture->invalid) return kCaptureInvalidated;
      if (!stream.capture) {
        stream.capture = event->capture;
        stream.tips.clear();
        event->capture->streams.push_back(shared);
      }
      for (const auto& tip : event->tips) stream.tips.push_back(tip);
      return kSuccess;
    }
    if (stream.capture) {
      if (stream.capture->invalid) return kCaptureInvalidated;
      if (!event->mark) return kSuccess;
      invalidate(*stream.capture);
      return kCaptureIsolation;
    }
    if (event->mark) join(stream.clock, event->mark->clock);
    if (event->mark && !event->mark->done) enqueue(stream, {0, {}, event->mark, nullptr});
    return kSuccess;
  });
}

EXPORT int cuStreamGetCtx(void* handle, void** out) {
  return on_stream(__func__, handle, [&](Stream& stream, auto&) -> int {
    if (!out) return kInvalidValue;
    *out = stream.context->handle;
    return kSuccess;
  });
}

EXPORT int cuStreamGetId(void* handle, u64* id) {
  return on_stream(__func__, handle, [&](Stream& stream, auto&) -> int {
    if (!id) return kInvalidValue;
    *id = stream.id;
    return kSuccess;
  });
}

EXPORT int cuStreamGetFlags(void* handle, unsigned* flags) {
  return on_stream(__func__, handle, [&](Stream& stream, auto&) -> int {
    if (!flags) return kInvalidValue;
    *flags = stream.flags;
    return kSuccess;
  });
}

EXPORT int cuStreamGetPriority(void* handle, int* priority) {
  return on_stream(__func__, handle, [&](Stream& stream, auto&) -> int {
    if (!priority) return kInvalidValue;
    *priority = stream.priority;
    return kSuccess;
  });
}

EXPORT int cuLaunchHostFunc(void* handle, void (*function)(void*), void* data) {
  return on_stream(__func__, handle, [&](Stream& stream, auto&) -> int {
    if (!function) return kInvalidValue;
    Work work;
    work.kind = Kind::host;
    work.action = [=](std::string*) {
      function(data);
      return kSuccess;
    };
    return submit(stream, std::move(work));
  });
}

EXPORT int cuEventCreate(void** out, unsigned flags) {
  return in_context(__func__, [&](Context& context) -> int {
    if (!out || flags > 7) return kInvalidValue;
    auto event = std::make_shared<Event>();
    event->context = &context;
    event->flags = flags;
    *out = world().events.add(event);
    return kSuccess;
  });
}

EXPORT int cuEventDestroy_v2(void* handle) {
  return on_event(__func__, handle, [&](Context&, Event&) -> int {
    world().events.live.erase(handle);
    return kSuccess;
  });
}

EXPORT int cuEventRecord(void* handle, void* stream_handle) {
  return on_event(__func__, handle, [&](Context& context, Event& event) -> int {
    std::shared_ptr<Stream> stream;
    if (const int code = find_stream(context, stream_handle, &stream)) return code;
    if (event.context != stream->context) return kInvalidHandle;
    if (stream->capture) {
      if (stream->capture->invalid) return kCaptureInvalidated;
      event.capture = stream->capture;
      event.tips = stream->tips;
      return kSuccess;
    }
    if (stream == stream->context->legacy)
      if (const int code = refuse_implicit(*stream->context)) return code;
    event.capture = nullptr;
    event.mark = std::make_shared<Mark>();
    enqueue(*stream, {0, {}, nullptr, event.mark});
    event.mark->clock = stream->clock;
    return kSuccess;
  });
}

static bool events_lie = false;
void let_events_lie(bool lie) { events_lie = lie; }

EXPORT int cuEventQuery(void* handle) {
  return on_event(__func__, handle, [&](Context&, Event& event) -> int {
    if (const int code = refuse_event(event)) return code;
    if (!event.mark) return kSuccess;
    if (!event.mark->done) return events_lie ? kSuccess : kNotReady;
    order_host_after(event.mark->clock);
    return kSuccess;
  });
}

EXPORT int cuEventSynchronize(void* handle) {
  return on_event(__func__, handle, [&](Context&, Event& event) -> int {
    if (const int code = refuse_event(event)) return code;
    return event.mark ? wait_for_mark(*event.context, event.mark) : kSuccess;
  });
}

static int elapsed(float* milliseconds, const void* start_handle, const void* end_handle) {
  const auto start = world().events.find(start_handle), end = world().events.find(end_handle);
  if (!milliseconds) return kInvalidValue;
  if (!start || !end || !start->mark || !end->mark) return kInvalidHandle;
  if ((start->flags | end->flags) & kDisableTiming) return kInvalidHandle;
  if (!start->mark->done || !end->mark->done) return kNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(end->mark->time - start->mark->time).count();
  return kSuccess;
}

EXPORT int cuEventElapsedTime(float* milliseconds, void* start, void* end) {
  return in_context(__func__, [&](Context&) -> int { return elapsed(milliseconds, start, end); });
}

EXPORT int cuEventElapsedTime_v2(float* milliseconds, void* start, void* end) {
  return in_context(__func__, [&](Context&) -> int { return elapsed(milliseconds, start, end); });
}

}  // namespace cuda_on_cpu
