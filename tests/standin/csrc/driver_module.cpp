// Modules and functions: an image of nvrtc.cpp is written to a file, opened, and bound to the engine's services.
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "driver.h"
#include "image.h"

namespace cuda_on_cpu {
namespace {

constexpr int kNoBinaryForGpu = 209, kSharedObjectInitFailed = 303, kOperatingSystem = 304;
constexpr unsigned kArchitecture = kComputeMajor * 10 + kComputeMinor;

bool eager() {
  const char* mode = std::getenv("CUDA_MODULE_LOADING");
  return mode && std::strcmp(mode, "EAGER") == 0;
}

// The file has a new name each time: dlopen would hand out an older library of the same name.
void* open_object(const unsigned char* object, size_t bytes) {
  const char* folder = std::getenv("TMPDIR");
  std::string path = std::string(folder ? folder : "/tmp") + "/cuda-on-cpu-XXXXXX";
  const int file = mkstemp(path.data());
  if (file < 0) return nullptr;
  bool written = true;
  for (size_t done = 0; written && done < bytes;) {
    const ssize_t n = write(file, object + done, bytes - done);
    written = n > 0;
    done += written ? n : 0;
  }
  close(file);
  void* library = written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  unlink(path.c_str());
  return library;
}

int load_image(Context& context, void** out, const void* image) {
  if (!out || !image) return kInvalidValue;
  if (const int code = refuse_in_capture()) return code;
  if (std::memcmp(image, kImageMagic, sizeof kImageMagic) != 0) return kInvalidImage;
  const auto& header = *static_cast<const ImageHeader*>(image);
  const bool fits = header.is_cubin ? header.architecture / 10 == kComputeMajor && header.architecture <= kArchitecture
                                    : header.architecture <= kArchitecture;
  if (!fits) return kNoBinaryForGpu;
  const auto module = std::make_shared<Module>();
  module->library = open_object(header.object(), header.size);
  if (!module->library) return kOperatingSystem;
  const auto bind = reinterpret_cast<bool (*)(const Services*)>(dlsym(module->library, "cuda_on_cpu_bind"));
  if (!bind || !bind(services())) return kSharedObjectInitFailed;
  for (const auto& [_, known] : world().contexts.live)
    if (known.get() == &context) module->context = known;
  *out = world().modules.add(module);
  return kSuccess;
}

template <class Body>
int on_function(const char* name, void* handle, Body body) {
  return in_context(name, [&](Context&) -> int {
    const auto function = world().functions.find(handle);
    return function ? body(*function) : kInvalidHandle;
  });
}

// By CUfunction_attribute.
int attribute_of(const Function& function, int attribute, int* value) {
  const Kernel& kernel = function.kernel;
  switch (attribute) {
    case 0:
      *value = kernel.max_threads ? kernel.max_threads : kMaxThreadsPerBlock;
      return kSuccess;
    case 1:
      *value = kernel.shared_end - kernel.shared_begin;
      return kSuccess;
    case 2:  // constant and local bytes
    case 3:
      *value = 0;
      return kSuccess;
    case 4:  // registers: as many as let 2,048 threads reside
      *value = 32;
      return kSuccess;
    case 5:  // versions of the virtual and the real architecture
    case 6:
      *value = kArchitecture;
      return kSuccess;
    case 7:  // cache mode
      *value = 0;
      return kSuccess;
    case 8:
      *value = function.max_dynamic_shared;
      return kSuccess;
    case 9:  // preferred carve-out: the driver's choice
      *value = -1;
      return kSuccess;
    default:
      return kInvalidValue;
  }
}

}  // namespace

Module::~Module() {
  if (library) dlclose(library);
}

int load(Function& function) {
  if (function.loaded) return kSuccess;
  if (const int code = refuse_in_capture()) return code;
  function.loaded = true;
  return kSuccess;
}

EXPORT int cuModuleLoadData(void** out, const void* image) {
  return in_context(__func__, [&](Context& context) -> int { return load_image(context, out, image); });
}

// The options tune a compiler that is not here; its logs stay empty.
EXPORT int cuModuleLoadDataEx(void** out, const void* image, unsigned, int*, void**) {
  return in_context(__func__, [&](Context& context) -> int { return load_image(context, out, image); });
}

EXPORT int cuModuleLoadFatBinary(void** out, const void* image) {
  return in_context(__func__, [&](Context& context) -> int { return load_image(context, out, image); });
}

EXPORT int cuModuleLoad(void** out, const char* path) {
  return in_context(__func__, [&](Context& context) -> int {
    if (!path) return kInvalidValue;
    std::ifstream file(path, std::ios::binary);
    if (!file) return kFileNotFound;
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (bytes.size() < sizeof(ImageHeader)) return kInvalidImage;
    return load_image(context, out, bytes.data());
  });
}

EXPORT int cuModuleUnload(void* handle) {
  return in_context(__func__, [&](Context&) -> int {
    if (!world().modules.find(handle)) return kInvalidHandle;
    if (const int code = refuse_in_capture()) return code;
    world().functions.remove_if([&](const Function& function) { return function.module_handle == handle; });
    world().modules.live.erase(handle);
    return kSuccess;
  });
}

EXPORT int cuModuleGetLoadingMode(int* mode) {
  return initialized(__func__, [&]() -> int {
    if (!mode) return kInvalidValue;
    *mode = eager() ? 1 : 2;
    return kSuccess;
  });
}

EXPORT int cuModuleGetFunction(void** out, void* handle, const char* name) {
  return in_context(__func__, [&](Context&) -> int {
    const auto module = world().modules.find(handle);
    if (!module) return kInvalidHandle;
    if (!out || !name) return kInvalidValue;
    void*& known = module->functions[name];
    if (!known) {
      const void* record = dlsym(module->library, (std::string("cuda_on_cpu_kernel_") + name).c_str());
      if (!record) return kNotFound;
      auto function = std::make_shared<Function>();
      function->module = module;
      function->module_handle = handle;
      function->name = name;
      function->kernel = *static_cast<const Kernel*>(record);
      function->loaded = eager();
      known = world().functions.add(function);
    }
    *out = known;
    return kSuccess;
  });
}

EXPORT int cuModuleGetGlobal_v2(u64* address, size_t* bytes, void* handle, const char* name) {
  return in_context(__func__, [&](Context&) -> int {
    const auto module = world().modules.find(handle);
    if (!module) return kInvalidHandle;
    if (!name) return kInvalidValue;
    void* symbol = dlsym(module->library, name);
    Dl_info info;
    const ElfW(Sym)* entry = nullptr;
    if (!symbol || !dladdr1(symbol, &info, reinterpret_cast<void**>(const_cast<ElfW(Sym)**>(&entry)), RTLD_DL_SYMENT) ||
        !entry || ELF64_ST_TYPE(entry->st_info) != STT_OBJECT)
      return kNotFound;
    module->globals[symbol] = entry->st_size;
    if (address) *address = reinterpret_cast<u64>(symbol);
    if (bytes) *bytes = entry->st_size;
    return kSuccess;
  });
}

EXPORT int cuFuncLoad(void* handle) {
  return on_function(__func__, handle, [](Function& function) -> int { return load(function); });
}

EXPORT int cuFuncIsLoaded(int* state, void* handle) {
  return on_function(__func__, handle, [&](Function& function) -> int {
    if (!state) return kInvalidValue;
    *state = function.loaded ? 1 : 0;
    return kSuccess;
  });
}

EXPORT int cuFuncGetModule(void** out, void* handle) {
  return on_function(__func__, handle, [&](Function& function) -> int {
    if (!out) return kInvalidValue;
    *out = function.module_handle;
    return kSuccess;
  });
}

EXPORT int cuFuncGetAttribute(int* value, int attribute, void* handle) {
  return on_function(__func__, handle, [&](Function& function) -> int {
    if (!value) return kInvalidValue;
    if (const int code = load(function)) return code;
    return attribute_of(function, attribute, value);
  });
}

EXPORT int cuFuncSetAttribute(void* handle, int attribute, int value) {
  return on_function(__func__, handle, [&](Function& function) -> int {
    if (const int code = load(function)) return code;
    const int fixed = function.kernel.shared_end - function.kernel.shared_begin;
    if (attribute == 9) return value >= -1 && value <= 100 ? kSuccess : kInvalidValue;
    if (attribute != 8 || value < 0 || value > kSharedPerBlockOptIn - fixed) return kInvalidValue;
    function.max_dynamic_shared = value;
    return kSuccess;
  });
}

EXPORT int cuFuncSetCacheConfig(void* handle, int config) {
  const bool known = config >= 0 && config <= 3;
  return on_function(__func__, handle, [&](Function&) -> int { return known ? kSuccess : kInvalidValue; });
}

}  // namespace cuda_on_cpu
