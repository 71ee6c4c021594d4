#include "waiting.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "team.hpp"

namespace backtime {

// About 0.5 ms (Zen 4): first for itself, then offering the processor to whoever wants it at every look.
constexpr int kLooksAlone = 200, kLooksYielding = 1000;
constexpr int kLooksAtBarrier = 10000;  // 0.1 ms and more

void sleep_until_change(std::atomic<int>& word, int old, std::atomic<int>& sleepers) {
  sleepers.fetch_add(1);
  while (word.load(std::memory_order_seq_cst) == old)
    syscall(SYS_futex, reinterpret_cast<int*>(&word), FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
  sleepers.fetch_sub(1);
}

void await_change(std::atomic<int>& word, int old, std::atomic<int>& sleepers) {
  for (int i = 0; i < kLooksAlone + kLooksYielding; i++) {
    if (word.load(std::memory_order_acquire) != old) return;
    i < kLooksAlone ? pause_processor() : (void)sched_yield();
  }
  sleep_until_change(word, old, sleepers);
}

void wake_all(std::atomic<int>& word, std::atomic<int>& sleepers) {
  if (sleepers.load(std::memory_order_seq_cst) > 0)
    syscall(SYS_futex, reinterpret_cast<int*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

void Barrier::wait(int members) {
  const int now = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == members - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(now + 1);
    return wake_all(generation_, sleepers_);
  }
  // A step is short, so spin. Longer than all but the longest steps: the others have lost their processors; to give this one
  // away (sched_yield) would put it at the end of the scheduler's line, while one that sleeps is let in soon after it wakes.
  for (int i = 0; i < kLooksAtBarrier; i++) {
    if (generation_.load(std::memory_order_acquire) != now) return;
    pause_processor();
  }
  stalled_.store(true, std::memory_order_relaxed);
  sleep_until_change(generation_, now, sleepers_);
}

}  // namespace backtime
