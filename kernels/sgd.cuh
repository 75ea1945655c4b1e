// SGD with momentum, f32. param, grad, buf (momentum_buffer): f32[len] per tensor.
// Without momentum reads 8 B, writes 4 B: 12 B per parameter; with it reads 12 B, writes 8 B: 20 B per parameter.
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
  static constexpr u32 STATES = MOMENTUM == Momentum::none ? 0 : 1;

  struct Scalars {
    float lr, weight_decay, momentum, keep, take;
  };

  // h: lr, weight_decay, momentum, dampening in f64; `updates`: how many this cohort has had before this one.
  static __device__ __forceinline__ Record resolve(const double* h, u64 updates) {
    const double momentum = h[2], dampening = h[3];
    Record r = {};
    r.value[0] = (float)h[0];
    r.value[1] = (float)h[1];
    r.value[2] = (float)momentum;
    r.value[3] = (float)dampening;
    r.value[4] = updates == 0 ? 0.0f : (float)momentum;
    r.value[5] = updates == 0 ? 1.0f : (float)(1.0 - dampening);
    return r;
  }

  static __device__ __forceinline__ Scalars scalars(const Record& r) {
    return {r.value[0], r.value[1], r.value[2], r.value[4], r.value[5]};
  }

  static __device__ __forceinline__ void apply(float& p, float g, float (&state)[2], const Scalars& s) {
    if constexpr (DIRECTION == Direction::maximize) g = -g;
    if constexpr (DECAY == Decay::coupled) g = __fmaf_rn(s.weight_decay, p, g);
    if constexpr (MOMENTUM != Momentum::none) {
      float& buf = state[0];
      buf = __fmaf_rn(s.keep, buf, __fmul_rn(s.take, g));
      g = MOMENTUM == Momentum::nesterov ? __fmaf_rn(s.momentum, buf, g) : buf;
    }
    p = __fmaf_rn(-s.lr, g, p);
  }
};
