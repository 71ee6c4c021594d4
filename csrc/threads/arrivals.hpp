// Whether a call runs on the team, or the caller alone.
//
// On a machine that is busy with other programs a thread may have no processor for milliseconds, in the middle of a region
// too, and the caller waits for it in vain: alone it would have been done. The number of threads changes no bit of any
// result, so the choice is made call by call: after one such region plans avoid barriers (team_steady). When the caller then
// works alone depends on the team.
#pragma once
#include "pace.hpp"

namespace backtime {

struct Turn {  // how a region went
  Clock::duration waiting, working;  // of the caller
  bool stalled;                      // whether a member waited long for another in its middle
};

enum class TeamKind { own, pytorch };

class Arrivals {
 public:
  // Whether the team has its turn. A pause that is a trial has some regions, or one if they are long.
  bool prompt() const {
    const auto now = Clock::now();
    return now >= trusted_again_ && (regions_alone_ >= least_alone_ || (regions_alone_ > 0 && now >= trusted_again_ + kLongTrial));
  }
  bool steady() const { return doubt_.load(std::memory_order_relaxed) == 0; }

  void note(TeamKind kind, const RegionKey& region, const Turn& turn) {
    const bool late = turn.waiting > kLate + 2 * turn.working;  // shares of work may be as uneven as 1 to 2
    const bool again = late && !steady();
    doubt_ = late || turn.stalled ? kDoubt : std::max(doubt_.load(std::memory_order_relaxed) - 1, 0);
    paces_.note_team(region, turn.waiting + turn.working);
    if (steady()) next_pause_ = kFirstPause;
    else if (kind == TeamKind::own) take_the_faster(Clock::now());
    else if (again) pause(Clock::now(), 0);
  }

  void note_alone(const RegionKey& region, Clock::duration time) {
    paces_.note_alone(region, time);
    regions_alone_++;
    time_alone_ += time;
    try_again_ = Clock::now() + std::max<Clock::duration>(kBetweenTrials, 20 * time_alone_);  // what trials cost stays small
  }

 private:
  // The own team's threads serve no one else, so the caller tries for a while to work alone, and what both took for the same
  // regions decides. PyTorch's threads, left alone, fall asleep, and PyTorch's operations after this one wait for them.
  void take_the_faster(Clock::time_point now) {
    const Verdict verdict = paces_.verdict();
    const bool trial = now > try_again_;
    if (trial || verdict == Verdict::team) next_pause_ = kFirstPause;
    if (trial || verdict == Verdict::alone) pause(now, kTrial);
  }

  void pause(Clock::time_point now, int least) {
    trusted_again_ = now + next_pause_;
    regions_alone_ = 0;
    least_alone_ = least;
    time_alone_ = {};
    next_pause_ = std::min(2 * next_pause_, kLongestPause);
    paces_.forget();
  }

  // A thread that sleeps comes within 0.1 ms; one that has lost its processor comes after its turn of the scheduler, 3 ms and more.
  static constexpr Duration kLate{400}, kFirstPause{20'000}, kLongestPause{1'000'000}, kLongTrial{200'000}, kBetweenTrials{2'000'000};
  static constexpr int kDoubt = 16;  // regions without a fault that make up for one
  static constexpr int kTrial = 4;   // regions alone, at least: a step of a training loop has some
  Paces paces_;
  std::atomic<int> doubt_{0};
  int regions_alone_ = 0, least_alone_ = 0;
  Duration next_pause_ = kFirstPause;
  Clock::duration time_alone_{};
  Clock::time_point trusted_again_{}, try_again_{};
};

}  // namespace backtime
