// The multi-tensor walk: a warp takes a chunk of one tensor and applies a rule to each of its elements.
//
// A rule R offers R::STATES (state tensors, 0..2), R::Scalars with R::scalars(record), and
// R::apply(param, grad, state, scalars) for one element. Elements are independent: no order is visible in the results.
//
// Positions count from the start of the 16-byte window that element 0 lies in, so that position % 4 == 0 is aligned.
#pragma once
#include "gradients.cuh"
#include "memory.cuh"
#include "state.cuh"

constexpr u32 VECTOR = 4;  // f32 elements in 16 bytes
constexpr u32 UNROLL = 2;  // 16-byte accesses in flight per stream and thread; not tuned on a GPU yet

// A place in a tensor: one address per stream, moved together.
struct Place {
  float* param;
  float* grad;
  float* state[2];

  __device__ __forceinline__ Place after(u64 elements) const {
    return {param + elements, grad + elements, {state[0] + elements, state[1] + elements}};
  }
};

// Applies rule R to elements, after what options O do to their gradients.
template <class R, class O>
struct Update {
  typename R::Scalars rule;
  GradientScalars gradient;

  __device__ __forceinline__ void element(const Place& place) const {
    float param = load_element(place.param);
    const float grad = prepare<O>(load_once(place.grad), gradient);
    float state[2] = {0.0f, 0.0f};
#pragma unroll
    for (u32 k = 0; k != R::STATES; k++) state[k] = load_element(place.state[k]);
    R::apply(param, grad, state, rule);
    store_element(place.param, param);
#pragma unroll
    for (u32 k = 0; k != R::STATES; k++) store_element(place.state[k], state[k]);
    if constexpr (O::ZERO) store_element(place.grad, 0.0f);
  }

  // N vectors of one thread, WARP vectors apart. All loads come before all stores.
  template <u32 N>
  __device__ __forceinline__ void vectors(const Place& place) const {
    float4 param[N], grad[N], state[N][2];
#pragma unroll
    for (u32 n = 0; n < N; n++) {
      param[n] = load_element((const float4*)place.param + n * WARP);
      grad[n] = load_once((const float4*)place.grad + n * WARP);
#pragma unroll
      for (u32 k = 0; k != R::STATES; k++) state[n][k] = load_element((const float4*)place.state[k] + n * WARP);
    }
#pragma unroll
    for (u32 n = 0; n < N; n++) {
      float x[2] = {state[n][0].x, state[n][1].x}, y[2] = {state[n][0].y, state[n][1].y};
      float z[2] = {state[n][0].z, state[n][1].z}, w[2] = {state[n][0].w, state[n][1].w};
      R::apply(param[n].x, prepare<O>(grad[n].x, gradient), x, rule);
      R::apply(param[n].y, prepare<O>(grad[n].y, gradient), y, rule);
      R::apply(param[n].z, prepare<O>(grad[n].z, gradient), z, rule);
      R::apply(param[n].w, prepare<O>(grad[n].w, gradient), w, rule);
      store_element((float4*)place.param + n * WARP, param[n]);
#pragma unroll
      for (u32 k = 0; k != R::STATES; k++) {
        store_element((float4*)place.state[k] + n * WARP, make_float4(x[k], y[k], z[k], w[k]));
      }
      if constexpr (O::ZERO) store_element((float4*)place.grad + n * WARP, make_float4(0.0f, 0.0f, 0.0f, 0.0f));
    }
  }
};

// Zeroes gradients and leaves all else as it is: what a skipped update does if gradients are zeroed after use.
struct Zero {
  __device__ __forceinline__ void element(const Place& place) const { store_element(place.grad, 0.0f); }

  template <u32 N>
  __device__ __forceinline__ void vectors(const Place& place) const {
#pragma unroll
    for (u32 n = 0; n < N; n++) store_element((float4*)place.grad + n * WARP, make_float4(0.0f, 0.0f, 0.0f, 0.0f));
  }
};

// Does `work` to the chunk at `index` of `tensor`, by one warp: the single elements before and after the whole vectors,
// then those. A tensor whose addresses do not share a window has no vectors.
template <class Work>
__device__ __forceinline__ void visit_chunk(const Tensor& tensor, u32 index, const Work& work) {
  const u32 lane = threadIdx.x % WARP;

  // Only a tensor's first chunk begins inside a window; its other chunks begin at one.
  const u32 skew = index == 0 ? tensor.skew : 0;
  const u64 begin = (u64)index * CHUNK - (tensor.skew - skew);
  const u64 rest = tensor.len - begin;
  const u32 len = rest < CHUNK - skew ? (u32)rest : CHUNK - skew;
  Place place = Place{tensor.param, tensor.grad, {tensor.state[0], tensor.state[1]}}.after(begin);

  // [0, head) singly, [head, tail) as vectors, [tail, len) singly.
  u32 head = (VECTOR - skew) % VECTOR;
  if (head > len) head = len;
  const u32 tail = tensor.vector ? head + (len - head) / VECTOR * VECTOR : head;

#pragma unroll 1
  for (u32 k = lane; k < head + (len - tail); k += WARP) {
    work.element(place.after(k < head ? k : tail + (k - head)));
  }

  place = place.after(head + lane * VECTOR);
  int left = (int)(tail - head) / (int)VECTOR - (int)lane;  // vectors from this thread's place on
#pragma unroll 1
  for (; left > (int)((UNROLL - 1) * WARP); left -= UNROLL * WARP) {
    work.template vectors<UNROLL>(place);
    place = place.after(UNROLL * WARP * VECTOR);
  }
#pragma unroll 1
  for (; left > 0; left -= WARP) {
    work.template vectors<1>(place);
    place = place.after(WARP * VECTOR);
  }
}
