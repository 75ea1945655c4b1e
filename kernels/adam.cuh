// Adam and AdamW, f32. param, grad, m (exp_avg), v (exp_avg_sq): f32[len] per tensor.
// Reads 16 B, writes 12 B: 28 B per parameter.
// Sources: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2.
// Peers: torch.optim.Adam, torch.optim.AdamW. src/host/rules.rs and src/optim/adam.rs are the same in Rust.
//
// One element, every operation rounded to nearest:
//   maximize:   g = -g
//   coupled:    g = fma(weight_decay, p, g)
//   decoupled:  p = p * (1 - lr weight_decay)
//   m = fma(1 - beta1, g - m, m)
//   v = fma(beta2, v, (1 - beta2) * (g * g))
//   p = fma(-lr / bias_correction1, m / fma(sqrt(v), 1 / sqrt(bias_correction2), eps), p)
// Scalars in parentheses are computed in f64 and rounded once. Non-finite gradients propagate unless the update is skipped.
#pragma once
#include "curves.cuh"
#include "state.cuh"

enum class Decay { none, coupled, decoupled };
enum class Direction { minimize, maximize };

template <Decay DECAY, Direction DIRECTION>
struct Adam {
  static constexpr u32 STATES = 2;

  struct Scalars {
    float weight_decay, decay, one_minus_beta1, beta2, one_minus_beta2, eps, step_size, inv_sqrt_bias_correction2;
  };

  // h: lr, weight_decay, beta1, beta2, eps in f64; `updates`: how many this cohort has had before this one.
  static __device__ __forceinline__ Record resolve(const double* h, u64 updates) {
    const double lr = h[0], weight_decay = h[1], beta1 = h[2], beta2 = h[3], eps = h[4];
    Record r = {};
    r.value[0] = (float)lr;
    r.value[1] = (float)weight_decay;
    r.value[2] = (float)beta1;
    r.value[3] = (float)beta2;
    r.value[4] = (float)eps;
    r.value[5] = (float)(1.0 - lr * weight_decay);
    r.value[6] = (float)(1.0 - beta1);
    r.value[7] = (float)(1.0 - beta2);
    r.value[8] = (float)(lr / bias_correction(beta1, updates + 1));
    r.value[9] = (float)(1.0 / sqrt(bias_correction(beta2, updates + 1)));
    return r;
  }

  static __device__ __forceinline__ Scalars scalars(const Record& r) {
    return {r.value[1], r.value[5], r.value[6], r.value[3], r.value[7], r.value[4], r.value[8], r.value[9]};
  }

  static __device__ __forceinline__ void apply(float& p, float g, float (&state)[2], const Scalars& s) {
    float& m = state[0];
    float& v = state[1];
    if constexpr (DIRECTION == Direction::maximize) g = -g;
    if constexpr (DECAY == Decay::coupled) g = __fmaf_rn(s.weight_decay, p, g);
    if constexpr (DECAY == Decay::decoupled) p = __fmul_rn(p, s.decay);
    m = __fmaf_rn(s.one_minus_beta1, __fsub_rn(g, m), m);
    v = __fmaf_rn(s.beta2, v, __fmul_rn(s.one_minus_beta2, __fmul_rn(g, g)));
    const float denominator = __fmaf_rn(__fsqrt_rn(v), s.inv_sqrt_bias_correction2, s.eps);
    p = __fmaf_rn(-s.step_size, __fdiv_rn(m, denominator), p);
  }
};
