// Launches: their checks, the copy of their arguments, and occupancy.
#include <algorithm>
#include <cstring>

#include "driver.h"

namespace cuda_on_cpu {
namespace {

// CUlaunchAttribute and CUlaunchConfig
struct Attribute {
  int id, padding;
  union {
    int number;
    char bytes[64];
  } value;
};
static_assert(sizeof(Attribute) == 72, "cuda.h: CUlaunchAttribute");

struct Config {
  unsigned grid[3], block[3], shared;
  void* stream;
  const Attribute* attributes;
  unsigned attribute_count;
};
static_assert(sizeof(Config) == 56, "cuda.h: CUlaunchConfig");

constexpr int kCooperative = 2;

// Attributes that change when or where a kernel runs, not what it computes. Programmatic serialization (6) allows a GPU
// to start early; the stand-in never does.
bool harmless(int id) { return id == 0 || id == 1 || id == 3 || id == 6 || id == 8 || id == 9 || id == 10; }

int launch(const char* name, void* function_handle, const unsigned* grid, const unsigned* block, size_t shared,
           void* stream_handle, void** arguments, void** extra, bool cooperative) {
  return in_context(name, [&](Context& context) -> int {
    std::shared_ptr<Stream> stream;
    if (const int code = find_stream(context, stream_handle, &stream)) return code;
    if (extra) return kNotSupported;
    std::shared_ptr<const Launch> checked;
    if (const int code = make_launch(function_handle, grid, block, shared, arguments, cooperative, &checked))
      return code;
    Function& function = *checked->function;
    const bool same_context = function.module->context.lock().get() == &context && stream->context == &context;
    if (!same_context) return kInvalidHandle;
    if (const int code = load(function)) return code;
    if (cooperative) {
      const u64 blocks = u64{grid[0]} * grid[1] * grid[2], threads = u64{block[0]} * block[1] * block[2];
      if (blocks > u64(active_blocks(function, threads, shared)) * kMultiprocessors) return kCooperativeTooLarge;
    }
    Work work;
    work.kind = Kind::kernel;
    work.launch = checked;
    return submit(*stream, std::move(work));
  });
}

}  // namespace

int make_launch(void* handle, const unsigned* grid, const unsigned* block, size_t shared, void** arguments,
                bool cooperative, std::shared_ptr<const Launch>* out) {
  const auto function = world().functions.find(handle);
  if (!function) return kInvalidHandle;
  const Kernel& kernel = function->kernel;
  const u64 most = kernel.max_threads ? kernel.max_threads : kMaxThreadsPerBlock;
  const u64 threads = u64{block[0]} * block[1] * block[2];
  if (!grid[0] || !grid[1] || !grid[2]) return kInvalidValue;
  if (grid[0] > 0x7fffffff || grid[1] > 65535 || grid[2] > 65535) return kInvalidValue;
  if (!threads || threads > most || block[0] > 1024 || block[1] > 1024 || block[2] > 64) return kInvalidValue;
  if (shared > function->max_dynamic_shared) return kInvalidValue;

  auto launch = std::make_shared<Launch>();
  launch->function_handle = handle;
  launch->function = function;
  launch->shape = {{grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, shared, cooperative};
  std::vector<size_t> offsets;
  for (unsigned i = 0; const size_t bytes = kernel.argument_size(i); ++i) {
    if (!arguments || !arguments[i]) return kInvalidValue;
    const size_t offset = (launch->bytes.size() + 15) / 16 * 16;
    launch->bytes.resize(offset + bytes);
    std::memcpy(&launch->bytes[offset], arguments[i], bytes);
    offsets.push_back(offset);
  }
  for (const size_t offset : offsets) launch->arguments.push_back(&launch->bytes[offset]);
  *out = std::move(launch);
  return kSuccess;
}

Code run_launch(const Launch& launch, std::string* report) {
  return run(launch.function->kernel, launch.shape, const_cast<void**>(launch.arguments.data()), report);
}

int active_blocks(const Function& function, int block_size, size_t dynamic_shared) {
  const int most = function.kernel.max_threads ? function.kernel.max_threads : kMaxThreadsPerBlock;
  const size_t shared = function.kernel.shared_end - function.kernel.shared_begin + dynamic_shared;
  if (block_size > most || dynamic_shared > function.max_dynamic_shared) return 0;
  const int resident = (block_size + kWarp - 1) / kWarp * kWarp;
  const int by_shared = kSharedPerMultiprocessor / int(shared + 1024);  // the system keeps 1 KiB of each block
  return std::min({kThreadsPerMultiprocessor / resident, kBlocksPerMultiprocessor, by_shared});
}

EXPORT int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, void* stream, void** arguments, void** extra) {
  const unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
  return launch(__func__, function, grid, block, shared, stream, arguments, extra, false);
}

EXPORT int cuLaunchCooperativeKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                     unsigned bz, unsigned shared, void* stream, void** arguments) {
  const unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
  return launch(__func__, function, grid, block, shared, stream, arguments, nullptr, true);
}

EXPORT int cuLaunchKernelEx(const Config* config, void* function, void** arguments, void** extra) {
  bool cooperative = false, supported = config != nullptr;
  for (unsigned i = 0; config && i < config->attribute_count; ++i) {
    const Attribute& attribute = config->attributes[i];
    if (attribute.id == kCooperative)
      cooperative = attribute.value.number != 0;
    else
      supported = supported && harmless(attribute.id);
  }
  if (!supported) return call(__func__, [&]() -> int { return config ? kNotSupported : kInvalidValue; });
  return launch(__func__, function, config->grid, config->block, config->shared, config->stream, arguments, extra,
                cooperative);
}

static int occupancy(const char* name, int* blocks, void* handle, int block_size, size_t dynamic_shared) {
  return in_context(name, [&](Context&) -> int {
    const auto function = world().functions.find(handle);
    if (!function) return kInvalidHandle;
    if (!blocks || block_size <= 0) return kInvalidValue;
    if (const int code = load(*function)) return code;
    *blocks = active_blocks(*function, block_size, dynamic_shared);
    return kSuccess;
  });
}

EXPORT int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* function, int block_size, size_t shared) {
  return occupancy(__func__, blocks, function, block_size, shared);
}

EXPORT int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void* function, int block_size,
                                                                size_t shared, unsigned) {
  return occupancy(__func__, blocks, function, block_size, shared);
}

static int best_block(const char* name, int* grid, int* block, void* handle, size_t (*shared_for)(int), size_t shared,
                      int limit) {
  return in_context(name, [&](Context&) -> int {
    const auto function = world().functions.find(handle);
    if (!function) return kInvalidHandle;
    if (!grid || !block) return kInvalidValue;
    if (const int code = load(*function)) return code;
    const int most = function->kernel.max_threads ? function->kernel.max_threads : kMaxThreadsPerBlock;
    int best = 0;
    for (int size = std::min(most, limit > 0 ? limit : most); size > 0; size = (size - 1) / kWarp * kWarp) {
      const int blocks = active_blocks(*function, size, shared_for ? shared_for(size) : shared);
      if (blocks * size <= best) continue;
      best = blocks * size;
      *block = size;
      *grid = blocks * kMultiprocessors;
    }
    return best ? kSuccess : kInvalidValue;
  });
}

EXPORT int cuOccupancyMaxPotentialBlockSize(int* grid, int* block, void* function, size_t (*shared_for)(int),
                                            size_t shared, int limit) {
  return best_block(__func__, grid, block, function, shared_for, shared, limit);
}

EXPORT int cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* block, void* function, size_t (*shared_for)(int),
                                                     size_t shared, int limit, unsigned) {
  return best_block(__func__, grid, block, function, shared_for, shared, limit);
}

}  // namespace cuda_on_cpu
