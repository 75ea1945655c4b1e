// Loads, stores and atomics on global memory. All pass the engine's hook; plain `*p` does not, and is caught by
// inaccessible pages and guard zones alone.
#pragma once

namespace cuda_on_cpu {

// The types that NVRTC has cached loads and stores for.
template <class T>
constexpr bool has_cached_access = false;
#define CUDA_ON_CPU_CACHED(T) \
  template <>                 \
  constexpr bool has_cached_access<T> = true;
#define CUDA_ON_CPU_CACHED_VECTORS(name) CUDA_ON_CPU_CACHED(name##2) CUDA_ON_CPU_CACHED(name##4)
CUDA_ON_CPU_CACHED(char)
CUDA_ON_CPU_CACHED(signed char)
CUDA_ON_CPU_CACHED(unsigned char)
CUDA_ON_CPU_CACHED(short)
CUDA_ON_CPU_CACHED(unsigned short)
CUDA_ON_CPU_CACHED(int)
CUDA_ON_CPU_CACHED(unsigned int)
CUDA_ON_CPU_CACHED(long)
CUDA_ON_CPU_CACHED(unsigned long)
CUDA_ON_CPU_CACHED(long long)
CUDA_ON_CPU_CACHED(unsigned long long)
CUDA_ON_CPU_CACHED(float)
CUDA_ON_CPU_CACHED(double)
CUDA_ON_CPU_CACHED_VECTORS(char)
CUDA_ON_CPU_CACHED_VECTORS(uchar)
CUDA_ON_CPU_CACHED_VECTORS(short)
CUDA_ON_CPU_CACHED_VECTORS(ushort)
CUDA_ON_CPU_CACHED_VECTORS(int)
CUDA_ON_CPU_CACHED_VECTORS(uint)
CUDA_ON_CPU_CACHED_VECTORS(float)
CUDA_ON_CPU_CACHED(longlong2)
CUDA_ON_CPU_CACHED(ulonglong2)
CUDA_ON_CPU_CACHED(double2)
#undef CUDA_ON_CPU_CACHED
#undef CUDA_ON_CPU_CACHED_VECTORS

template <class T>
struct Same {
  using type = T;
};

template <class T>
inline T load(const T* p, Access kind) {
  static_assert(has_cached_access<T>, "NVRTC has no cached load of this type");
  access(p, sizeof(T), kind);
  return *p;
}

template <class T>
inline void store(T* p, T value) {
  static_assert(has_cached_access<T>, "NVRTC has no cached store of this type");
  access(p, sizeof(T), Access::store);
  *p = value;
}

// No other thread runs between the two calls of the engine.
template <class T, class Change>
inline T atomic(T* p, Change change) {
  access(p, sizeof(T), Access::atomic);
  const T old = *p;
  *p = change(old);
  services->atomic_order(p);
  return old;
}

}  // namespace cuda_on_cpu

#define CUDA_ON_CPU_LOAD(name, kind)                         \
  template <class T>                                         \
  inline T name(const T* p) {                                \
    return cuda_on_cpu::load(p, cuda_on_cpu::Access::kind);  \
  }
CUDA_ON_CPU_LOAD(__ldg, load)
CUDA_ON_CPU_LOAD(__ldca, load)
CUDA_ON_CPU_LOAD(__ldcg, load_past_l1)
CUDA_ON_CPU_LOAD(__ldcs, load)
CUDA_ON_CPU_LOAD(__ldlu, load)
CUDA_ON_CPU_LOAD(__ldcv, load_past_l1)
#undef CUDA_ON_CPU_LOAD

#define CUDA_ON_CPU_STORE(name)                                       \
  template <class T>                                                  \
  inline void name(T* p, typename cuda_on_cpu::Same<T>::type value) { \
    cuda_on_cpu::store(p, value);                                     \
  }
CUDA_ON_CPU_STORE(__stwb)
CUDA_ON_CPU_STORE(__stcg)
CUDA_ON_CPU_STORE(__stcs)
CUDA_ON_CPU_STORE(__stwt)
#undef CUDA_ON_CPU_STORE

#define CUDA_ON_CPU_ATOMIC(name, T, result)                            \
  inline T name(T* p, T v) {                                           \
    return cuda_on_cpu::atomic(p, [=](T old) -> T { return result; }); \
  }
#define CUDA_ON_CPU_ATOMIC_INTEGER(name, result) \
  CUDA_ON_CPU_ATOMIC(name, int, result)          \
  CUDA_ON_CPU_ATOMIC(name, unsigned int, result) \
  CUDA_ON_CPU_ATOMIC(name, unsigned long long, result)

CUDA_ON_CPU_ATOMIC_INTEGER(atomicAdd, old + v)
CUDA_ON_CPU_ATOMIC(atomicAdd, float, old + v)
CUDA_ON_CPU_ATOMIC(atomicAdd, double, old + v)
CUDA_ON_CPU_ATOMIC(atomicSub, int, old - v)
CUDA_ON_CPU_ATOMIC(atomicSub, unsigned int, old - v)
CUDA_ON_CPU_ATOMIC_INTEGER(atomicExch, v)
CUDA_ON_CPU_ATOMIC(atomicExch, float, v)
CUDA_ON_CPU_ATOMIC_INTEGER(atomicMin, v < old ? v : old)
CUDA_ON_CPU_ATOMIC(atomicMin, long long, v < old ? v : old)
CUDA_ON_CPU_ATOMIC_INTEGER(atomicMax, v > old ? v : old)
CUDA_ON_CPU_ATOMIC(atomicMax, long long, v > old ? v : old)
CUDA_ON_CPU_ATOMIC_INTEGER(atomicAnd, old& v)
CUDA_ON_CPU_ATOMIC_INTEGER(atomicOr, old | v)
CUDA_ON_CPU_ATOMIC_INTEGER(atomicXor, old ^ v)
CUDA_ON_CPU_ATOMIC(atomicInc, unsigned int, old >= v ? 0 : old + 1)
CUDA_ON_CPU_ATOMIC(atomicDec, unsigned int, old == 0 || old > v ? v : old - 1)
#undef CUDA_ON_CPU_ATOMIC
#undef CUDA_ON_CPU_ATOMIC_INTEGER

#define CUDA_ON_CPU_CAS(T)                                                                \
  inline T atomicCAS(T* p, T expected, T v) {                                             \
    return cuda_on_cpu::atomic(p, [=](T old) -> T { return old == expected ? v : old; }); \
  }
CUDA_ON_CPU_CAS(int)
CUDA_ON_CPU_CAS(unsigned int)
CUDA_ON_CPU_CAS(unsigned long long)
#undef CUDA_ON_CPU_CAS

inline void __threadfence() { cuda_on_cpu::services->fence(); }
inline void __threadfence_system() { cuda_on_cpu::services->fence(); }
inline void __threadfence_block() { cuda_on_cpu::services->block_fence(); }
