// Who takes part in a region: it opens a door, members come in, the caller closes it, and all who are in begin.
//
// On a busy machine a thread may have no processor for milliseconds: then the region runs without it, which changes no result.
#pragma once
#include <algorithm>
#include <cstdint>

#include "waiting.hpp"

namespace backtime {

// How long the caller waits: a sixteenth of what the region would take alone, at 1e5 flops a microsecond. To wait for one
// that does not come costs little; to run a long call without one that comes a moment later would cost much.
inline std::chrono::microseconds patience(double flops) {
  constexpr double least = 100, flops_a_microsecond = 16e5;
  return std::chrono::microseconds(static_cast<long>(std::max(least, flops / flops_a_microsecond)));
}

class Door {
 public:
  void open(int ticket, int most) {  // for at most so many, the caller included
    most_.store(most, std::memory_order_relaxed);
    state_.store(static_cast<uint64_t>(static_cast<uint32_t>(ticket)) << 32, std::memory_order_release);
  }
  void limit(int most) { most_.store(most, std::memory_order_relaxed); }  // while it is open: for fewer
  // A member's number in the region of this ticket, from 1, or 0: too late, or not needed.
  int join(int ticket) {
    uint64_t now = state_.load(std::memory_order_acquire);
    do {
      const bool open = static_cast<int>(now >> 32) == ticket && !(now & kClosed);
      if (!open || joined(now) >= most_.load(std::memory_order_relaxed) - 1) return 0;
    } while (!state_.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel));
    return joined(now) + 1;
  }
  // The caller's: waits until all have come, or no longer than its patience; returns how many there are.
  int close(std::chrono::microseconds patience) {
    const int wanted = most_.load(std::memory_order_relaxed) - 1;
    const auto end = Clock::now() + patience;
    for (int i = 1; joined(state_.load(std::memory_order_acquire)) < wanted; i++) {
      pause_processor();
      if (i % 64 == 0 && Clock::now() > end) break;
    }
    return joined(state_.fetch_or(kClosed, std::memory_order_acq_rel)) + 1;
  }
  // For one who has joined: how many there are, once the door is closed.
  int members() const {
    uint64_t now;
    while (!((now = state_.load(std::memory_order_acquire)) & kClosed)) pause_processor();
    return joined(now) + 1;
  }

 private:
  static constexpr uint64_t kClosed = uint64_t(1) << 31;
  static int joined(uint64_t state) { return static_cast<int>(state & (kClosed - 1)); }
  std::atomic<uint64_t> state_{0};  // ticket << 32 | closed << 31 | how many have joined
  std::atomic<int> most_{0};        // one that comes too late may read it while it is set anew
};

}  // namespace backtime
