// Names that every kernel uses. NVRTC brings no <stdint.h>, so integers are our own.
#pragma once

using u64 = unsigned long long;
using u32 = unsigned int;
using u16 = unsigned short;
using u8 = unsigned char;

static_assert(sizeof(u64) == 8 && sizeof(u32) == 4 && sizeof(u16) == 2 && sizeof(void*) == 8, "64-bit devices only");

constexpr u32 WARP = 32;
