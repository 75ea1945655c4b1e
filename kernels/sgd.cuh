// SGD with momentum. Streams: param, grad, and with momentum buf (momentum_buffer).
// In f32 without momentum reads 8 B, writes 4 B: 12 B per parameter; with it reads 12 B, writes 8 B: 20 B per parameter.
// Source: Sutskever et al. 2013, ICML, as torch.optim.SGD words it. src/host/rules.rs and src/optim/sgd.rs are the same.
//
// One element, every operation rounded to nearest:
//   maximize:  g = -g
//   coupled:   g = fma(weight_decay, p, g)
//   momentum:  buf = fma(keep, buf, take * g);  heavy: g = buf;  nesterov: g = fma(momentum, buf, g)
//   p = fma(-lr, g, p)
// keep and take are 0 and 1 on a tensor's first update (torch: the buffer starts as a copy of the first gradient),
// momentum and 1 - dampening after it. Non-finite gradients propagate unless the update is skipped.
#pragma once
#include "adam.cuh"

enum class Momentum { none, heavy, nesterov };

template <Momentum MOMENTUM, Decay DECAY, Direction DIRECTION>
struct Sgd {
  static_assert(DECAY != Decay::decoupled, "SGD couples its weight decay");
  static constexpr u32 STREAMS = MOMENTUM == Momentum::none ? 2 : 3, INPUTS = 4, SCALARS = 6;

  struct Scalars {
    float lr, weight_decay, momentum, keep, take;
  };

  // `in`: lr, weight_decay, momentum, dampening; `updates`: how many this cohort has had before this one.
  static __device__ __forceinline__ Record<SCALARS> resolve(const double (&in)[INPUTS], u64 updates) {
    const double momentum = in[2], dampening = in[3];
    Record<SCALARS> r;
    r.value[0] = (float)in[0];
    r.value[1] = (float)in[1];
    r.value[2] = (float)momentum;
    r.value[3] = (float)dampening;
    r.value[4] = updates == 0 ? 0.0f : (float)momentum;
    r.value[5] = updates == 0 ? 1.0f : (float)(1.0 - dampening);
    return r;
  }

  static __device__ __forceinline__ Scalars scalars(const Record<SCALARS>& r) {
    return {r.value[0], r.value[1], r.value[2], r.value[4], r.value[5]};
  }

  static __device__ __forceinline__ void apply(float (&x)[STREAMS], const Scalars& s) {
    float& p = x[0];
    float g = x[1];
    if constexpr (DIRECTION == Direction::maximize) g = -g;
    if constexpr (DECAY == Decay::coupled) g = __fmaf_rn(s.weight_decay, p, g);
    if constexpr (MOMENTUM != Momentum::none) {
      float& buf = x[2];
      buf = __fmaf_rn(s.keep, buf, __fmul_rn(s.take, g));
      g = MOMENTUM == Momentum::nesterov ? __fmaf_rn(s.momentum, buf, g) : buf;
    }
    p = __fmaf_rn(-s.lr, g, p);
  }
};
