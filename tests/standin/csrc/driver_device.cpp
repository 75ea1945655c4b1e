// The one emulated device: compute capability 9.0 and few multiprocessors, so that grids stay small.
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

#include "driver.h"

namespace cuda_on_cpu {
namespace {

int number_from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::atoi(text) : otherwise;
}

template <class Body>
int on_device(const char* name, int device, Body body) {
  return initialized(name, [&]() -> int { return device >= 0 && device < device_count() ? body() : kInvalidDevice; });
}

// By CUdevice_attribute; what is not listed is a feature that the stand-in does not have, or a property that is 0.
const std::map<int, int>& attributes() {
  static const auto* attributes = new std::map<int, int>{
      {1, kMaxThreadsPerBlock},
      {2, 1024},        // block, x
      {3, 1024},        // block, y
      {4, 64},          // block, z
      {5, 0x7fffffff},  // grid, x
      {6, 65535},       // grid, y
      {7, 65535},       // grid, z
      {8, kSharedPerBlock},
      {9, 64 << 10},  // constant memory
      {10, kWarp},
      {11, 0x7fffffff},  // pitch
      {12, 64 << 10},    // registers per block
      {13, 1000000},     // clock, kHz
      {14, 512},         // texture alignment
      {15, 1},           // overlap of copies and kernels
      {16, kMultiprocessors},
      {19, 1},  // maps host memory
      {31, 1},  // concurrent kernels
      {33, 1},  // PCI bus
      {36, 1000000},
      {37, 5120},      // bus width
      {38, 50 << 20},  // L2
      {39, kThreadsPerMultiprocessor},
      {40, 3},  // copy engines
      {41, 1},  // unified addressing
      {75, kComputeMajor},
      {76, kComputeMinor},
      {78, 1},  // stream priorities
      {79, 1},
      {80, 1},
      {81, kSharedPerMultiprocessor},
      {82, 64 << 10},  // registers per multiprocessor
      {87, 2},         // single to double precision
      {90, 1},         // preemption
      {91, 1},         // registered memory keeps its address
      {95, 1},         // cooperative launch
      {97, kSharedPerBlockOptIn},
      {99, 1},  // host registration
      {106, kBlocksPerMultiprocessor},
      {111, 1 << 10},  // reserved shared memory
      {115, 1},        // memory pools, hence cuMemAllocAsync
  };
  return *attributes;
}

}  // namespace

int device_count() { return number_from_environment("CUDA_ON_CPU_DEVICES", 1) > 0 ? 1 : 0; }

EXPORT int cuInit(unsigned flags) {
  return call(__func__, [&]() -> int {
    if (flags != 0) return kInvalidValue;
    if (const int code = number_from_environment("CUDA_ON_CPU_INIT", 0)) return code;
    world().initialized = true;
    return kSuccess;
  });
}

EXPORT int cuDriverGetVersion(int* version) {
  return call(__func__, [&]() -> int {
    if (!version) return kInvalidValue;
    *version = 13000;
    return kSuccess;
  });
}

EXPORT int cuDeviceGetCount(int* count) {
  return initialized(__func__, [&]() -> int {
    if (!count) return kInvalidValue;
    *count = device_count();
    return kSuccess;
  });
}

EXPORT int cuDeviceGet(int* device, int ordinal) {
  return on_device(__func__, ordinal, [&]() -> int {
    if (!device) return kInvalidValue;
    *device = ordinal;
    return kSuccess;
  });
}

// There is one device, which is not its own peer.
EXPORT int cuDeviceCanAccessPeer(int* can, int device, int) {
  return on_device(__func__, device, [&]() -> int {
    if (!can) return kInvalidValue;
    *can = 0;
    return kSuccess;
  });
}

EXPORT int cuDeviceGetName(char* name, int bytes, int device) {
  return on_device(__func__, device, [&]() -> int {
    if (!name || bytes <= 0) return kInvalidValue;
    std::strncpy(name, "CUDA on the CPU", bytes);
    name[bytes - 1] = 0;
    return kSuccess;
  });
}

static int uuid(const char* call_name, void* out, int device) {
  return on_device(call_name, device, [&]() -> int {
    if (!out) return kInvalidValue;
    std::memcpy(out, "cuda-on-the-cpu0", 16);
    return kSuccess;
  });
}

EXPORT int cuDeviceGetUuid(void* out, int device) { return uuid(__func__, out, device); }
EXPORT int cuDeviceGetUuid_v2(void* out, int device) { return uuid(__func__, out, device); }

EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  return on_device(__func__, device, [&]() -> int {
    if (!bytes) return kInvalidValue;
    *bytes = device_memory();
    return kSuccess;
  });
}

EXPORT int cuDeviceGetAttribute(int* value, int attribute, int device) {
  return on_device(__func__, device, [&]() -> int {
    if (!value || attribute < 1) return kInvalidValue;
    const auto found = attributes().find(attribute);
    *value = found == attributes().end() ? 0 : found->second;
    return kSuccess;
  });
}

// The newest version of a symbol that this library has: `cuMemAlloc` finds cuMemAlloc_v2.
EXPORT int cuGetProcAddress_v2(const char* symbol, void** function, int version, u64, int* status) {
  return call(__func__, [&]() -> int {
    if (!symbol || !function || version < 1000) return kInvalidValue;
    Dl_info self;
    dladdr(reinterpret_cast<void*>(&cuGetProcAddress_v2), &self);
    void* library = dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *function = nullptr;
    if (library && std::strncmp(symbol, "cu", 2) == 0 && std::strncmp(symbol, "cuda", 4) != 0)
      for (const char* suffix : {"_v4", "_v3", "_v2", ""})
        if (!*function) *function = dlsym(library, (std::string(symbol) + suffix).c_str());
    if (library) dlclose(library);
    if (status) *status = *function ? 0 : 1;  // found, or no such symbol
    return *function ? kSuccess : kNotFound;
  });
}

}  // namespace cuda_on_cpu
