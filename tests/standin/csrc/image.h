// The form of a compiled module, as nvrtcGetPTX and nvrtcGetCUBIN hand it out and cuModuleLoadData takes it: this
// header, then `size` bytes of a shared object. The object exports, besides its kernels' records (services.h),
// `extern "C" bool cuda_on_cpu_bind(const Services*)`, false for another version of the table.
#pragma once
#include <cstdint>
#include <cstring>

namespace cuda_on_cpu {

constexpr char kImageMagic[16] = "cuda-on-cpu 001";

struct ImageHeader {
  char magic[16];
  uint64_t size;          // bytes of the shared object that follows
  uint32_t architecture;  // 90 for sm_90 or compute_90
  uint32_t is_cubin;      // 1: for this architecture only (and later minors of it); 0: PTX, for it and all later ones

  bool valid() const { return std::memcmp(magic, kImageMagic, sizeof magic) == 0; }
  const unsigned char* object() const { return reinterpret_cast<const unsigned char*>(this + 1); }
};
static_assert(sizeof(ImageHeader) == 32, "written to disk caches");

}  // namespace cuda_on_cpu
