// The one random generator (SplitMix64). Its seed is CUDA_ON_CPU_SEED, else drawn from the system, and printed once.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "engine.h"

namespace cuda_on_cpu {
namespace {

u64 seed_ = 0, state_ = 0;
bool seeded_ = false;

void start() {
  const char* given = std::getenv("CUDA_ON_CPU_SEED");
  std::random_device device;
  set_seed(given && *given ? std::strtoull(given, nullptr, 0) : (u64(device()) << 32 | device()));
}

}  // namespace

void set_seed(u64 seed) {
  seed_ = state_ = seed;
  if (!seeded_) std::fprintf(stderr, "cuda-on-cpu: seed %llu\n", seed);
  seeded_ = true;
}

u64 seed() {
  if (!seeded_) start();
  return seed_;
}

u32 random_below(u32 n) {
  if (!seeded_) start();
  u64 z = state_ += 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  z ^= z >> 31;
  return static_cast<u32>((z >> 32) * n >> 32);
}

}  // namespace cuda_on_cpu
