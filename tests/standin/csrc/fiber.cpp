// The switch for x86-64 and AArch64, and the pool of stacks.
#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__x86_64__)

asm(R"(
.text
.p2align 4
.globl cuda_on_cpu_switch
.hidden cuda_on_cpu_switch
.type cuda_on_cpu_switch, @function
cuda_on_cpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
.globl cuda_on_cpu_resume
.hidden cuda_on_cpu_resume
.type cuda_on_cpu_resume, @function
cuda_on_cpu_resume:
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_on_cpu_switch, . - cuda_on_cpu_switch
)");

namespace {
constexpr size_t kSavedWords = 8, kEntryWord = 6;  // 6 registers, the return address, one word of alignment
}

#elif defined(__aarch64__)

asm(R"(
.text
.p2align 4
.globl cuda_on_cpu_switch
.hidden cuda_on_cpu_switch
.type cuda_on_cpu_switch, %function
cuda_on_cpu_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
.globl cuda_on_cpu_resume
.hidden cuda_on_cpu_resume
.type cuda_on_cpu_resume, %function
cuda_on_cpu_resume:
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size cuda_on_cpu_switch, . - cuda_on_cpu_switch
)");

namespace {
constexpr size_t kSavedWords = 20, kEntryWord = 11;
}

#else
#error "cuda-on-cpu: no stack switch for this processor; add one to fiber.cpp (x86-64 and AArch64 are there)"
#endif

namespace cuda_on_cpu::engine {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kSlot = kStackBytes + kPage;
constexpr size_t kStacksPerSlab = 256;

std::vector<unsigned char*> slabs;

bool add_slab() {
  void* p =
      mmap(nullptr, kSlot * kStacksPerSlab, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return false;
  auto* slab = static_cast<unsigned char*>(p);
  for (size_t i = 0; i < kStacksPerSlab; i++) mprotect(slab + i * kSlot, kPage, PROT_NONE);
  slabs.push_back(slab);
  return true;
}

}  // namespace

void* fresh_stack(size_t number, void (*entry)()) {
  while (number / kStacksPerSlab >= slabs.size())
    if (!add_slab()) return nullptr;
  unsigned char* slot = slabs[number / kStacksPerSlab] + number % kStacksPerSlab * kSlot;
  // The tops are staggered: equal offsets in all stacks would share a few sets of the cache.
  unsigned char* top = slot + kSlot - number % 32 * 64;
  auto** saved = reinterpret_cast<void**>(top) - kSavedWords;
  std::memset(saved, 0, kSavedWords * sizeof(void*));
  saved[kEntryWord] = reinterpret_cast<void*>(entry);
  return saved;
}

bool on_stack(const void* p) {
  const auto* address = static_cast<const unsigned char*>(p);
  for (const unsigned char* slab : slabs)
    if (address >= slab && address < slab + kSlot * kStacksPerSlab) return true;
  return false;
}

}  // namespace cuda_on_cpu::engine
