// What the bench needs besides updates: copies to compare with, numbers to compute with, and the compiler's version.
#include "memory.cuh"

constexpr u32 IN_FLIGHT = 4;  // 16-byte accesses per thread

struct Copy {
  float4* to;
  const float4* from;
  u64 len;  // in 16-byte elements
};
static_assert(sizeof(Copy) == 24, "benches/step/bandwidth.rs: Copy");

// Reads 16 B and writes 16 B per element, over any grid.
extern "C" __global__ void copy_strided(const Copy copy) {
  const u64 threads = (u64)gridDim.x * blockDim.x;
  u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  for (; i + (IN_FLIGHT - 1) * threads < copy.len; i += IN_FLIGHT * threads) {
    float4 values[IN_FLIGHT];
#pragma unroll
    for (u32 k = 0; k < IN_FLIGHT; k++) values[k] = load_element(copy.from + i + k * threads);
#pragma unroll
    for (u32 k = 0; k < IN_FLIGHT; k++) store_element(copy.to + i + k * threads, values[k]);
  }
  for (; i < copy.len; i += threads) store_element(copy.to + i, load_element(copy.from + i));
}

// As much per element, by a block for each tile of blockDim * VECTORS elements and no loop.
template <u32 VECTORS>
__device__ __forceinline__ void copy_tile(const Copy& copy) {
  const u64 begin = (u64)blockIdx.x * blockDim.x * VECTORS + threadIdx.x;
  float4 values[VECTORS];
#pragma unroll
  for (u32 k = 0; k < VECTORS; k++) {
    const u64 i = begin + (u64)k * blockDim.x;
    if (i < copy.len) values[k] = load_element(copy.from + i);
  }
#pragma unroll
  for (u32 k = 0; k < VECTORS; k++) {
    const u64 i = begin + (u64)k * blockDim.x;
    if (i < copy.len) store_element(copy.to + i, values[k]);
  }
}

extern "C" __global__ void copy_tiles_of_1(const Copy copy) { copy_tile<1>(copy); }
extern "C" __global__ void copy_tiles_of_2(const Copy copy) { copy_tile<2>(copy); }
extern "C" __global__ void copy_tiles_of_4(const Copy copy) { copy_tile<4>(copy); }

template <class T>
struct Noise {
  T* values;
  u64 len;
  u64 seed;
};
static_assert(sizeof(Noise<float>) == 24, "benches/step/noise.rs: Noise");

// Uniform in [-1, 1): zeros would be moved and multiplied faster than real values.
template <class T, class Convert>
__device__ __forceinline__ void fill(const Noise<T>& noise, Convert convert) {
  const u64 threads = (u64)gridDim.x * blockDim.x;
  for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < noise.len; i += threads) {
    u64 z = noise.seed + (i + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    store_element(noise.values + i, convert((float)(z >> 40) * (1.0f / 8388608.0f) - 1.0f));
  }
}

extern "C" __global__ void fill_with_noise(const Noise<float> noise) {
  fill(noise, [](float value) { return value; });
}

// The same as bf16, cut off.
extern "C" __global__ void fill_with_bf16_noise(const Noise<u16> noise) {
  fill(noise, [](float value) { return (u16)(__float_as_uint(value) >> 16); });
}

// The version of the NVRTC that compiled this; zeros where another compiler did.
extern "C" __global__ void compiler_version(u32* out) {
#ifdef __CUDACC_VER_MAJOR__
  store_element(out, (u32)__CUDACC_VER_MAJOR__);
  store_element(out + 1, (u32)__CUDACC_VER_MINOR__);
#else
  store_element(out, 0u);
  store_element(out + 1, 0u);
#endif
}
