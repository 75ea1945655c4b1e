// One training step of the digits network, but for the update, which is the optimizer's: `backpropagate`,
// `reduce_gradients`, `record`. And one validation: `validate`, `conclude`. Blocks have HIDDEN threads.
// Everything that changes from step to step is read from device memory, the step `t` first of all, so a captured graph
// of these kernels can be replayed as it is.
// Sums run in the order of `host.rs`, product and sum rounded apart (--fmad=false): the same bits, but for expf and logf.

#include "network.h"  // PIXELS, HIDDEN, ..., Element: written by network.rs

using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;

struct Buffers {  // layout twin: cuda.rs, Buffers
    const float* images;      // f32[images][PIXELS], the TRAINING ones first
    const u32* labels;        // u32[images]
    const Element* param;     // f32 or bf16[PARAMS]: w1[PIXELS][HIDDEN], b1[HIDDEN], w2[HIDDEN][DIGITS], b2[DIGITS]
    Element* grad;            // as param
    u32* batch;               // u32[BATCH]: this step's images
    float* hidden;            // f32[BATCH][HIDDEN]
    float* hidden_grad;       // f32[BATCH][HIDDEN], before the ReLU
    float* logit_grad;        // f32[BATCH][DIGITS]
    float* image_loss;        // f32[BATCH]
    float* held_out_loss;     // f32[HELD_OUT]
    u32* held_out_right;      // u32[HELD_OUT]: 1 where the image is recognised
    float* loss;              // f32[total_steps]
    float* lr;                // f32[total_steps]
    float* validation_loss;   // f32[epochs], the last of which may be cut short
    u32* correct;             // u32[epochs]
    float* metric;            // f32: the last validation's loss, for the optimizer to observe
    u64 total_steps;
    const u64* t;             // the optimizer's: updates applied so far
    const float* scalars[2];  // the optimizer's: update t reads scalars[t & 1], its first value is the rate
};
static_assert(sizeof(Buffers) == 20 * 8, "cuda.rs: Buffers");

// A parameter, f32 or the bits of a bf16.
__device__ float widened(float x) { return x; }
__device__ float widened(u16 bits) { return __uint_as_float((u32)bits << 16); }

// A gradient: f32, or bf16, to nearest, ties to even.
__device__ void store(float* at, float x) { *at = x; }
__device__ void store(u16* at, float x) {
    const u32 bits = __float_as_uint(x);
    *at = x != x ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

__device__ u32 mixed(u32 x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

// order.rs: shuffled
__device__ u32 shuffled(u32 position, u32 epoch) {
    constexpr u32 MASK = (1u << ORDER_HALF_BITS) - 1;
    static_assert(TRAINING <= 1u << 2 * ORDER_HALF_BITS, "order.rs: HALF_BITS");
    u32 index = position;
    do {
        for (u32 round = 0; round < ORDER_ROUNDS; ++round) {
            const u32 left = index >> ORDER_HALF_BITS, right = index & MASK;
            const u32 key = mixed(epoch * ORDER_ROUNDS + round);
            index = right << ORDER_HALF_BITS | (left ^ (mixed(right ^ key) & MASK));
        }
    } while (index >= TRAINING);
    return index;
}

// Hidden units and logits of one image, for the whole block, which may read them at once.
__device__ void forward(const Buffers& b, u32 image, float* pixel, float* hidden, float* logit) {
    const u32 unit = threadIdx.x;
    if (unit < PIXELS) pixel[unit] = b.images[image * PIXELS + unit];
    __syncthreads();  // every unit waits for all pixels
    float sum = widened(b.param[B1 + unit]);
    for (u32 p = 0; p < PIXELS; ++p) sum += pixel[p] * widened(b.param[p * HIDDEN + unit]);
    hidden[unit] = sum > 0.0f ? sum : 0.0f;
    __syncthreads();  // every digit waits for all hidden units
    if (unit < DIGITS) {
        sum = widened(b.param[B2 + unit]);
        for (u32 h = 0; h < HIDDEN; ++h) sum += hidden[h] * widened(b.param[W2 + h * DIGITS + unit]);
        logit[unit] = sum;
    }
    __syncthreads();  // all threads wait for the logits
}

__device__ u32 largest(const float* logit) {
    u32 best = 0;
    for (u32 d = 1; d < DIGITS; ++d) {
        if (logit[d] > logit[best]) best = d;
    }
    return best;
}

// The sum of the exponentials of all logits relative to the largest.
__device__ float softmax_total(const float* logit, float max) {
    float total = 0.0f;
    for (u32 d = 0; d < DIGITS; ++d) total += expf(logit[d] - max);
    return total;
}

// Block i: forward and backward of image i of the batch. Gradients are of the batch's mean loss.
extern "C" __global__ void backpropagate(Buffers b) {
    __shared__ float pixel[PIXELS];
    __shared__ float hidden[HIDDEN];
    __shared__ float logit[DIGITS];
    __shared__ float logit_grad[DIGITS];
    const u32 row = blockIdx.x, unit = threadIdx.x;
    const u64 t = *b.t;
    const u32 position = (u32)(t % STEPS_PER_EPOCH) * BATCH + row;
    const u32 image = shuffled(position, (u32)(t / STEPS_PER_EPOCH));
    forward(b, image, pixel, hidden, logit);

    if (unit < DIGITS) {
        const u32 label = b.labels[image];
        const float max = logit[largest(logit)];
        const float total = softmax_total(logit, max);
        const float target = unit == label ? 1.0f : 0.0f;
        logit_grad[unit] = (expf(logit[unit] - max) / total - target) / (float)BATCH;
        b.logit_grad[row * DIGITS + unit] = logit_grad[unit];
        if (unit == label) {
            b.image_loss[row] = logf(total) - (logit[label] - max);
            b.batch[row] = image;
        }
    }
    __syncthreads();  // every unit waits for all of logit_grad

    float sum = 0.0f;
    for (u32 d = 0; d < DIGITS; ++d) sum += logit_grad[d] * widened(b.param[W2 + unit * DIGITS + d]);
    b.hidden[row * HIDDEN + unit] = hidden[unit];
    b.hidden_grad[row * HIDDEN + unit] = hidden[unit] > 0.0f ? sum : 0.0f;
}

// One thread a parameter: its gradient, summed over the batch in order. A bias is the weight of a constant input of 1.
extern "C" __global__ void reduce_gradients(Buffers b) {
    const u32 index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= PARAMS) return;
    float sum = 0.0f;
    if (index < W2) {
        const u32 p = index / HIDDEN, unit = index % HIDDEN;
        for (u32 row = 0; row < BATCH; ++row) {
            const float input = p < PIXELS ? b.images[b.batch[row] * PIXELS + p] : 1.0f;
            sum += input * b.hidden_grad[row * HIDDEN + unit];
        }
    } else {
        const u32 h = (index - W2) / DIGITS, digit = (index - W2) % DIGITS;
        for (u32 row = 0; row < BATCH; ++row) {
            const float input = h < HIDDEN ? b.hidden[row * HIDDEN + h] : 1.0f;
            sum += input * b.logit_grad[row * DIGITS + digit];
        }
    }
    store(b.grad + index, sum);
}

// The first thread: this step's loss and the rate that its update is about to apply, as the optimizer holds it.
extern "C" __global__ void record(Buffers b) {
    const u64 t = *b.t;
    if (threadIdx.x != 0 || t >= b.total_steps) return;
    float sum = 0.0f;
    for (u32 row = 0; row < BATCH; ++row) sum += b.image_loss[row];
    b.loss[t] = sum / (float)BATCH;
    b.lr[t] = (t & 1 ? b.scalars[1] : b.scalars[0])[0];  // an index here would cost a stack copy of `b`
}

// Block i: loss of held-out image i, and whether it is recognised.
extern "C" __global__ void validate(Buffers b) {
    __shared__ float pixel[PIXELS];
    __shared__ float hidden[HIDDEN];
    __shared__ float logit[DIGITS];
    const u32 image = TRAINING + blockIdx.x;
    forward(b, image, pixel, hidden, logit);
    if (threadIdx.x != 0) return;
    const u32 label = b.labels[image], best = largest(logit);
    const float max = logit[best];
    b.held_out_loss[blockIdx.x] = logf(softmax_total(logit, max)) - (logit[label] - max);
    b.held_out_right[blockIdx.x] = best == label ? 1 : 0;
}

// The first thread: sums of the epoch that ends with update t - 1, image by image: the same bits in every run.
extern "C" __global__ void conclude(Buffers b) {
    const u64 t = *b.t;
    if (threadIdx.x != 0 || t == 0 || t > b.total_steps) return;
    float loss = 0.0f;
    u32 correct = 0;
    for (u32 image = 0; image < HELD_OUT; ++image) {
        loss += b.held_out_loss[image];
        correct += b.held_out_right[image];
    }
    const u64 epoch = (t - 1) / STEPS_PER_EPOCH;
    *b.metric = b.validation_loss[epoch] = loss / (float)HELD_OUT;
    b.correct[epoch] = correct;
}
