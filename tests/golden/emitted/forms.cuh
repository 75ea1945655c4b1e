// constant
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return real(c, 0);
}

// linear
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return linear(real(c, 0), real(c, 1), t0, count(c, 2));
}

// cosine
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return cosine(real(c, 0), real(c, 1), t0, count(c, 2));
}

// cosine_power
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return cosine_power(real(c, 2), real(c, 3), t0, count(c, 4), real(c, 0), real(c, 1));
}

// polynomial
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return polynomial(real(c, 1), real(c, 2), t0, count(c, 3), real(c, 0));
}

// polynomial_k
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return polynomial_k(real(c, 2), real(c, 3), t0, count(c, 4), real(c, 0), real(c, 1));
}

// one_minus_sqrt
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return power_rise(real(c, 1), real(c, 2), t0, count(c, 3), real(c, 0));
}

// power_rise
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return power_rise(real(c, 1), real(c, 2), t0, count(c, 3), real(c, 0));
}

// exponential
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return geometric(real(c, 1), real(c, 2), t0, count(c, 3), real(c, 0));
}

// tanh_ramp
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return tanh_ramp(real(c, 2), real(c, 3), t0, count(c, 4), real(c, 0), real(c, 1));
}

// rex
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return rex(real(c, 1), real(c, 2), t0, count(c, 3), real(c, 0));
}

// half_life
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return half_life(real(c, 0), real(c, 1), t0, count(c, 2));
}

// log_rise
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return log_rise(real(c, 0), real(c, 1), t0, count(c, 2));
}

// exponential_decay
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return exponential(real(c, 0), real(c, 1), real(c, 2), t0);
}

// step_decay
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const u64 t1 = t0 / count(c, 3);
  return exponential(real(c, 0), real(c, 1), real(c, 2), t1);
}

// multi_step
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const u64 t1 = passed(t0, c + 3, 2);
  return exponential(real(c, 0), real(c, 1), real(c, 2), t1);
}

// multi_step_fractions
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const u64 t1 = passed(t0, c + 3, 3);
  return exponential(real(c, 0), real(c, 1), real(c, 2), t1);
}

// inverse_sqrt
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return inverse_sqrt(real(c, 0), real(c, 1), t0);
}

// inverse_time
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return inverse_time(real(c, 0), real(c, 1), t0);
}

// power_law
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return power_law(real(c, 0), real(c, 1), real(c, 2), t0);
}

// piecewise_constant
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return piecewise_constant(t0, c + 0, c + 2, 2);
}

// piecewise_linear
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return piecewise_linear(t0, c + 0, c + 3, 3);
}

// piecewise_cosine
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return piecewise_cosine(t0, c + 0, c + 3, 3);
}

// over
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const u64 t1 = until(t0, count(c, 3));
  return exponential(real(c, 0), real(c, 1), real(c, 2), t1);
}

// then
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  double v0;
  do {
    u64 t1 = t0;
    if (t1 < count(c, 9)) {
      v0 = linear(real(c, 0), real(c, 1), t1, count(c, 2));
      break;
    }
    t1 -= count(c, 9);
    if (t1 < count(c, 8)) {
      const u64 t2 = until(t1, count(c, 4));
      v0 = real(c, 3);
      break;
    }
    t1 -= count(c, 8);
    v0 = cosine(real(c, 5), real(c, 6), t1, count(c, 7));
  } while (false);
  return v0;
}

// join
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  double v0;
  do {
    u64 t1 = t0;
    if (t1 < count(c, 4)) {
      v0 = linear(real(c, 0), real(c, 1), t1, count(c, 2));
      break;
    }
    t1 -= count(c, 4);
    v0 = real(c, 3);
  } while (false);
  return v0;
}

// delay
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const u64 t1 = after(t0, count(c, 3));
  return linear(real(c, 0), real(c, 1), t1, count(c, 2));
}

// every
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const u64 t1 = t0 / count(c, 3);
  return linear(real(c, 0), real(c, 1), t1, count(c, 2));
}

// on_progress
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const u64 t1 = progress;
  return linear(real(c, 0), real(c, 1), t1, count(c, 2));
}

// warmup
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  double v0;
  do {
    u64 t1 = t0;
    if (t1 < count(c, 4)) {
      v0 = linear(real(c, 1), real(c, 2), t1, count(c, 3));
      break;
    }
    t1 -= count(c, 4);
    v0 = real(c, 0);
  } while (false);
  return v0;
}

// warmup from the first
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  double v0;
  do {
    u64 t1 = t0;
    if (t1 < count(c, 4)) {
      v0 = linear(real(c, 1), real(c, 2), t1, count(c, 3));
      break;
    }
    t1 -= count(c, 4);
    v0 = real(c, 0);
  } while (false);
  return v0;
}

// warmup between
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  double v0;
  do {
    u64 t1 = t0;
    if (t1 < count(c, 4)) {
      v0 = linear(real(c, 1), real(c, 2), t1, count(c, 3));
      break;
    }
    t1 -= count(c, 4);
    v0 = real(c, 0);
  } while (false);
  return v0;
}

// warmup, zero twice
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  double v0;
  do {
    u64 t1 = t0;
    if (t1 < count(c, 6)) {
      v0 = real(c, 1);
      break;
    }
    t1 -= count(c, 6);
    if (t1 < count(c, 5)) {
      v0 = linear(real(c, 2), real(c, 3), t1, count(c, 4));
      break;
    }
    t1 -= count(c, 5);
    v0 = real(c, 0);
  } while (false);
  return v0;
}

// clamp
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  return clamp(linear(real(c, 0), real(c, 1), t0, count(c, 2)), real(c, 3), real(c, 4));
}

// repeat
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const u64 t1 = cycle(t0, count(c, 3), count(c, 4));
  return linear(real(c, 0), real(c, 1), t1, count(c, 2));
}

// repeat_times
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const u64 t1 = cycle(t0, count(c, 3), count(c, 4));
  return linear(real(c, 0), real(c, 1), t1, count(c, 2));
}

// product
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const u64 t1 = t0 / count(c, 6);
  const double v0 = linear(real(c, 0), real(c, 1), t0, count(c, 2)) * exponential(real(c, 3), real(c, 4), real(c, 5), t1);
  return v0;
}

// arithmetic
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const double v0 = (double)t0 + real(c, 0);
  const double v1 = smaller((double)t0, real(c, 2));
  const double v2 = real(c, 1) - v1;
  const double v3 = v0 / v2;
  const double v4 = larger(v3, real(c, 3));
  return v4;
}

// whole numbers
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const double v0 = floor_div((double)t0, real(c, 0));
  const double v1 = floor_mod((double)t0, real(c, 1));
  const double v2 = v0 + v1;
  const double v3 = (double)t0 * real(c, 2);
  const double v4 = floor(v3);
  const double v5 = v2 + v4;
  const double v6 = larger(v5, real(c, 3));
  return v6;
}

// functions
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const double v0 = (double)t0 * real(c, 0);
  const double v1 = sin_spec(v0);
  const double v2 = fabs(v1);
  const double v3 = (double)t0 * real(c, 1);
  const double v4 = cos_spec(v3);
  const double v5 = pow_int(v4, 2);
  const double v6 = v2 + v5;
  const double v7 = (double)t0 * real(c, 2);
  const double v8 = tanh_spec(v7);
  const double v9 = larger(v8, real(c, 3));
  const double v10 = v6 + v9;
  return v10;
}

// powers
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const double v0 = (double)t0 + real(c, 0);
  const double v1 = pow_spec(v0, real(c, 1));
  const double v2 = (double)t0 + real(c, 2);
  const double v3 = ln_spec(v2);
  const double v4 = sqrt(v3);
  const double v5 = v1 + v4;
  const double v6 = (double)t0 * real(c, 3);
  const double v7 = -(v6);
  const double v8 = exp_spec(v7);
  const double v9 = v5 + v8;
  return v9;
}

// select
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const double v0 = (double)t0 < real(c, 0) ? 1.0 : 0.0;
  double v1;
  if (v0 != 0.0) {
    v1 = linear(real(c, 1), real(c, 2), t0, count(c, 3));
  } else {
    v1 = real(c, 4);
  }
  return v1;
}

// comparisons
__device__ __noinline__ double program_0(const u64* c, u64 t0, u64 progress, u64 updates) {
  const double v0 = (double)t0 <= real(c, 0) ? 1.0 : 0.0;
  const double v1 = v0 * real(c, 1);
  const double v2 = (double)t0 == real(c, 2) ? 1.0 : 0.0;
  const double v3 = v1 + v2;
  return v3;
}

