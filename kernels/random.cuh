// Random bits for stochastic rounding: Philox 4x32-10, a function of the seed and of what is rounded, so that a run repeats to
// the bit whatever the grid, the device and the number of tensors. src/precision/random.rs is the same in Rust.
// Source: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3; the constants are those of Random123.
#pragma once
#include "elements.cuh"

struct Dice {
  u64 seed;
  u32 t;  // the lower half
};

struct Throw {
  u32 word[VECTOR];
};

__device__ __forceinline__ Throw philox(u64 key, u32 c0, u32 c1, u32 c2, u32 c3) {
  u32 k0 = (u32)key, k1 = (u32)(key >> 32);
  // Not all of them: the sums of the key, the same in all throws, would be kept in twenty registers.
#pragma unroll 2
  for (u32 round = 0; round < 10; round++) {
    const u64 a = (u64)c0 * 0xD2511F53u, b = (u64)c2 * 0xCD9E8D57u;
    c0 = (u32)(b >> 32) ^ c1 ^ k0;
    c2 = (u32)(a >> 32) ^ c3 ^ k1;
    c1 = (u32)b;
    c3 = (u32)a;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// For the four elements from `at` on of the streams at places 2 * pair and 2 * pair + 1: the first has the upper half of each
// word before the lower one, the second the other way round. `at` is below 2^58.
__device__ __forceinline__ Throw thrown(const Dice& dice, u32 tensor, u32 pair, u64 at) {
  const u64 vector = at / VECTOR;
  const u32 rest = pair | (u32)(vector >> 32) << 8;
  return philox(dice.seed, (u32)vector, dice.t, tensor, rest);
}

template <u32 PLACE>
__device__ __forceinline__ u32 random_of(const Throw& thrown, u32 e) {
  const u32 word = thrown.word[e];
  return PLACE % 2 == 0 ? word : word << 16 | word >> 16;
}
