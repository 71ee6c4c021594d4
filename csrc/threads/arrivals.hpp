// Whether a call's helpers came promptly of late.
//
// On a machine that is busy with other programs a thread may have no processor for milliseconds, in the middle of a region
// too, and the caller waits for it in vain: alone it would have been done. The number of threads changes no bit of any
// result, so the choice is made call by call: after one such region plans avoid barriers (team_steady), and after a second
// in short order the caller works alone for a while.
#pragma once
#include <algorithm>

#include "waiting.hpp"

namespace backtime {

struct Turn {  // how a region went
  Clock::duration waiting, working;  // of the caller
  bool stalled;                      // whether a member waited long for another in its middle
};

class Arrivals {
 public:
  bool prompt() const { return Clock::now() >= trusted_again_; }
  bool steady() const { return doubt_.load(std::memory_order_relaxed) == 0; }

  void note(const Turn& turn) {
    const bool late = turn.waiting > kLate + 2 * turn.working;  // shares of work may be as uneven as 1 to 2
    const int doubt = doubt_.load(std::memory_order_relaxed);
    if (late && doubt > 0) {
      trusted_again_ = Clock::now() + pause_;
      pause_ = std::min(2 * pause_, kLongestPause);
    }
    doubt_ = late || turn.stalled ? kDoubt : std::max(doubt - 1, 0);
    if (doubt_ == 0) pause_ = kFirstPause;
  }

 private:
  using Duration = std::chrono::microseconds;
  // A thread that sleeps comes within 0.1 ms; one that has lost its processor comes after its turn of the scheduler, 3 ms and more.
  static constexpr Duration kLate{400}, kFirstPause{20'000}, kLongestPause{1'000'000};
  static constexpr int kDoubt = 16;  // regions without a fault that make up for one
  std::atomic<int> doubt_{0};
  Duration pause_ = kFirstPause;
  Clock::time_point trusted_again_{};
};

}  // namespace backtime
