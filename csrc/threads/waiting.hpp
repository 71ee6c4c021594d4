// How threads wait for each other.
#pragma once
#include <atomic>
#include <chrono>

namespace backtime {

using Clock = std::chrono::steady_clock;

inline void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Sleeps in the kernel until word != old.
void sleep_until_change(std::atomic<int>& word, int old, std::atomic<int>& sleepers);
// Waits until word != old: spins for about 0.5 ms, then sleeps. Waking up is dear in a virtual machine.
void await_change(std::atomic<int>& word, int old, std::atomic<int>& sleepers);
// Wakes those that sleep on this word, if there are any.
void wake_all(std::atomic<int>& word, std::atomic<int>& sleepers);

}  // namespace backtime
