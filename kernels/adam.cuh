// Adam and AdamW. Streams: param, grad, m (exp_avg), v (exp_avg_sq).
// In f32 reads 16 B, writes 12 B: 28 B per parameter.
// Sources: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2.
// Peers: torch.optim.Adam, torch.optim.AdamW. src/host/rules.rs and src/optim/adam.rs are the same in Rust.
//
// One element, every operation rounded to nearest:
//   maximize:   g = -g
//   coupled:    g = fma(weight_decay, p, g)
//   m = fma(1 - beta1, g - m, m)
//   v = fma(beta2, v, (1 - beta2) * (g * g))
//   u = m / fma(sqrt(v), 1 / sqrt(bias_correction2), eps)
//   decoupled:  p = p - fma(lr weight_decay, p, (lr / bias_correction1) * u)
//   else:       p = fma(-lr / bias_correction1, u, p)
// Scalars in parentheses or without spaces between them are computed in f64 and rounded once. The parameter is rounded once,
// so no decay is lost beside an update; where u is 0, f32 itself absorbs a decay below 2^-25 of the parameter.
// Non-finite gradients propagate unless the update is skipped.
#pragma once
#include "curves.cuh"
#include "tables.cuh"

enum class Decay { none, coupled, decoupled };
enum class Direction { minimize, maximize };

template <Decay DECAY, Direction DIRECTION>
struct Adam {
  static constexpr u32 STREAMS = 4, INPUTS = 7, SCALARS = 10;

  struct Scalars {
    float weight_decay, lr_weight_decay, one_minus_beta1, beta2, one_minus_beta2, eps, step_size, inv_sqrt_bias_correction2;
  };

  // `in`: lr, weight_decay, beta1, beta2, eps, bias_correction1, bias_correction2.
  static __device__ __forceinline__ Record<SCALARS> resolve(const double (&in)[INPUTS], u64) {
    const double lr = in[0], weight_decay = in[1], beta1 = in[2], beta2 = in[3], eps = in[4];
    Record<SCALARS> r;
    r.value[0] = (float)lr;
    r.value[1] = (float)weight_decay;
    r.value[2] = (float)beta1;
    r.value[3] = (float)beta2;
    r.value[4] = (float)eps;
    r.value[5] = (float)(lr * weight_decay);
    r.value[6] = (float)(1.0 - beta1);
    r.value[7] = (float)(1.0 - beta2);
    r.value[8] = (float)(lr / in[5]);
    r.value[9] = (float)(1.0 / sqrt(in[6]));
    return r;
  }

  static __device__ __forceinline__ Scalars scalars(const Record<SCALARS>& r) {
    return {r.value[1], r.value[5], r.value[6], r.value[3], r.value[7], r.value[4], r.value[8], r.value[9]};
  }

  static __device__ __forceinline__ void apply(float (&x)[STREAMS], const Scalars& s) {
    float &p = x[0], &m = x[2], &v = x[3];
    float g = x[1];
    if constexpr (DIRECTION == Direction::maximize) g = -g;
    if constexpr (DECAY == Decay::coupled) g = __fmaf_rn(s.weight_decay, p, g);
    m = __fmaf_rn(s.one_minus_beta1, __fsub_rn(g, m), m);
    v = __fmaf_rn(s.beta2, v, __fmul_rn(s.one_minus_beta2, __fmul_rn(g, g)));
    const float u = __fdiv_rn(m, __fmaf_rn(__fsqrt_rn(v), s.inv_sqrt_bias_correction2, s.eps));
    if constexpr (DECAY == Decay::decoupled) {
      p = __fsub_rn(p, __fmaf_rn(s.lr_weight_decay, p, __fmul_rn(s.step_size, u)));
    } else {
      p = __fmaf_rn(-s.step_size, u, p);
    }
  }
};
