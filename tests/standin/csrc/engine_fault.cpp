// Accesses that no hook saw: a signal of the kernel's thread is turned into a switch back to the scheduler.
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>

#include "engine_state.h"
#include "fiber.h"

namespace cuda_on_cpu::engine {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE};
constexpr size_t kAlternateStack = 64 << 10;

struct sigaction previous[3];
pthread_t runner;
volatile int caught_signal = 0;
void* volatile caught_address = nullptr;

void pass_on(int number, siginfo_t* info, void* context) {
  for (int i = 0; i < 3; i++) {
    if (kSignals[i] != number) continue;
    const struct sigaction& p = previous[i];
    if (p.sa_flags & SA_SIGINFO) return p.sa_sigaction(number, info, context);
    if (p.sa_handler != SIG_DFL && p.sa_handler != SIG_IGN) return p.sa_handler(number);
    sigaction(number, &p, nullptr);  // the instruction runs again and meets the default
  }
}

void on_signal(int number, siginfo_t* info, void* context) {
  if (!running || !pthread_equal(pthread_self(), runner)) return pass_on(number, info, context);
  caught_signal = number;
  caught_address = info->si_addr;
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  registers.gregs[REG_RSP] = reinterpret_cast<greg_t>(launch.scheduler);
  registers.gregs[REG_RIP] = reinterpret_cast<greg_t>(&cuda_on_cpu_resume);
#else
  registers.sp = reinterpret_cast<uintptr_t>(launch.scheduler);
  registers.pc = reinterpret_cast<uintptr_t>(&cuda_on_cpu_resume);
#endif
}

}  // namespace

FaultCatcher::FaultCatcher() {
  runner = pthread_self();
  caught_signal = 0;
  stack_t now{};
  sigaltstack(nullptr, &now);
  if (now.ss_flags & SS_DISABLE) {
    alternate_stack_ = std::malloc(kAlternateStack);
    stack_t own{};
    own.ss_sp = alternate_stack_;
    own.ss_size = kAlternateStack;
    sigaltstack(&own, nullptr);
  }
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < 3; i++) sigaction(kSignals[i], &action, &previous[i]);
}

FaultCatcher::~FaultCatcher() {
  for (int i = 0; i < 3; i++) sigaction(kSignals[i], &previous[i], nullptr);
  if (!alternate_stack_) return;
  stack_t none{};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
  std::free(alternate_stack_);
}

Code take_fault(std::string* what) {
  if (!caught_signal) return kSuccess;
  const int number = caught_signal;
  const void* address = caught_address;
  caught_signal = 0;
  if (number == SIGFPE) {
    *what = "an integer division by zero, or one that overflows";
    return kLaunchFailed;
  }
  if (on_stack(address)) {
    *what = "stack overflow: a thread has " + std::to_string(kStackBytes >> 10) + " KiB";
    return kIllegalAddress;
  }
  char text[32];
  snprintf(text, sizeof text, "%p", address);
  *what = "illegal access, not by a load or store helper, at " + std::string(text) + ", " + describe_address(address);
  return kIllegalAddress;
}

}  // namespace cuda_on_cpu::engine
