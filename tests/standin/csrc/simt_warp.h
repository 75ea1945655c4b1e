// Barriers, shuffles and votes.
#pragma once

inline void __syncthreads(const char* file = __builtin_FILE(), unsigned int line = __builtin_LINE()) {
  cuda_on_cpu::services->barrier(file, line);
}
inline void __syncwarp(unsigned int mask = 0xFFFFFFFF) { cuda_on_cpu::services->warp_barrier(mask); }
inline unsigned int __activemask() { return cuda_on_cpu::services->active_mask(); }
inline unsigned int __ballot_sync(unsigned int mask, int predicate) {
  return cuda_on_cpu::services->ballot(mask, predicate != 0);
}
inline int __any_sync(unsigned int mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned int mask, int predicate) { return __ballot_sync(mask, predicate == 0) == 0; }

namespace cuda_on_cpu {

template <class T>
inline T shuffle(unsigned int mask, T value, unsigned int source) {
  u64 bits = 0;
  __builtin_memcpy(&bits, &value, sizeof value);
  bits = services->exchange(mask, bits, source);
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// A lane whose source lies outside its segment of `width` lanes gets its own value back.
inline unsigned int source_of_index(unsigned int source, int width) {
  const unsigned int me = services->lane(), last = unsigned(width) - 1;
  return (me & ~last) + (source & last);
}
inline unsigned int source_above(unsigned int delta, int width) {
  const unsigned int me = services->lane(), position = me & (unsigned(width) - 1);
  return delta > position ? me : me - delta;
}
inline unsigned int source_below(unsigned int delta, int width) {
  const unsigned int me = services->lane(), position = me & (unsigned(width) - 1);
  return delta >= unsigned(width) - position ? me : me + delta;
}
inline unsigned int source_across(unsigned int bits, int width) {
  const unsigned int me = services->lane(), source = me ^ bits, end = (me & ~(unsigned(width) - 1)) + unsigned(width);
  return source >= end ? me : source;
}

}  // namespace cuda_on_cpu

#define CUDA_ON_CPU_SHUFFLES(T)                                                               \
  inline T __shfl_sync(unsigned int mask, T value, int source, int width = 32) {              \
    return cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::source_of_index(source, width));    \
  }                                                                                           \
  inline T __shfl_up_sync(unsigned int mask, T value, unsigned int delta, int width = 32) {   \
    return cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::source_above(delta, width));        \
  }                                                                                           \
  inline T __shfl_down_sync(unsigned int mask, T value, unsigned int delta, int width = 32) { \
    return cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::source_below(delta, width));        \
  }                                                                                           \
  inline T __shfl_xor_sync(unsigned int mask, T value, int bits, int width = 32) {            \
    return cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::source_across(bits, width));        \
  }
CUDA_ON_CPU_SHUFFLES(int)
CUDA_ON_CPU_SHUFFLES(unsigned int)
CUDA_ON_CPU_SHUFFLES(long)
CUDA_ON_CPU_SHUFFLES(unsigned long)
CUDA_ON_CPU_SHUFFLES(long long)
CUDA_ON_CPU_SHUFFLES(unsigned long long)
CUDA_ON_CPU_SHUFFLES(float)
CUDA_ON_CPU_SHUFFLES(double)
#undef CUDA_ON_CPU_SHUFFLES
