// A network of two layers, y = w2 . tanh(x w1 + b1) + b2, on a mean squared error. Gradients add up, as in a backward pass.
#define IN 8
#define HIDDEN 32
#define BATCH 16
#define SAMPLES 512
typedef unsigned long long u64;

// Which sample is the b-th of the call that runs: `calls` counts the calls of the optimizer that have ended.
__device__ unsigned sample(const u64* calls, unsigned b) { return (unsigned)((*calls * BATCH + b) % SAMPLES); }

// A block per sample, a thread per hidden unit.
extern "C" __global__ void forward(const float* x, const float* y, const float* w1, const float* b1, const float* w2,
                                   const float* b2, const u64* calls, float* hidden, float* error) {
  __shared__ float part[HIDDEN];
  const unsigned s = sample(calls, blockIdx.x), h = threadIdx.x;
  float sum = b1[h];
  for (int i = 0; i < IN; ++i) sum += x[s * IN + i] * w1[i * HIDDEN + h];
  const float v = tanhf(sum);
  hidden[blockIdx.x * HIDDEN + h] = v;
  part[h] = v * w2[h];
  __syncthreads();
  if (h > 0) return;
  float out = b2[0];
  for (int k = 0; k < HIDDEN; ++k) out += part[k];
  error[blockIdx.x] = out - y[s];
}

// IN + 1 blocks, a thread per hidden unit. The loss is scaled before gradients are taken of it.
extern "C" __global__ void backward(const float* x, const float* w2, const u64* calls, const float* loss_scale,
                                    const float* hidden, const float* error, float* gw1, float* gb1, float* gw2, float* gb2,
                                    float* loss) {
  const unsigned h = threadIdx.x, i = blockIdx.x;
  float g = 0, g2 = 0, gb = 0, mean = 0;
  for (int b = 0; b < BATCH; ++b) {
    const float d = 2 * error[b] / BATCH * *loss_scale, v = hidden[b * HIDDEN + h];
    const float through = d * w2[h] * (1 - v * v);
    g += i < IN ? through * x[sample(calls, b) * IN + i] : through;
    g2 += v * d;
    gb += d;
    mean += error[b] * error[b] / BATCH;
  }
  if (i < IN) {
    gw1[i * HIDDEN + h] += g;
    return;
  }
  gb1[h] += g;
  gw2[h] += g2;
  if (h > 0) return;
  gb2[0] += gb;
  loss[0] = mean;
}
