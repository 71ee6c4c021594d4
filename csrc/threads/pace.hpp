// How long the same region took on the team and alone.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "team.hpp"
#include "waiting.hpp"

namespace backtime {

using Duration = std::chrono::microseconds;

struct RegionKey {  // regions of the same function and work are taken for the same
  RegionFunction function;
  double flops;
  bool operator==(const RegionKey&) const = default;
};

enum class Verdict { unknown, team, alone };

class Paces {
 public:
  void forget() {  // what was before a trial
    for (auto& pace : paces_) pace = {};
  }
  void note_team(const RegionKey& region, Clock::duration time) { of(region).team.add(time); }
  void note_alone(const RegionKey& region, Clock::duration time) { of(region).alone.add(time); }

  // Of the regions that ran both ways since then, once there is enough to judge by. The team takes processors that
  // others want, so it must be worth it: else two processes would each keep the other from working.
  Verdict verdict() const {
    double team = 0, alone = 0, seen = 0;
    for (const auto& pace : paces_) {
      if (pace.team.count < kLeast || pace.alone.count == 0) continue;
      team += pace.team.mean();
      alone += pace.alone.mean();
      seen += pace.team.sum;
    }
    if (seen < kSeen) return Verdict::unknown;
    return alone < kWorth * team ? Verdict::alone : Verdict::team;
  }

 private:
  struct Times {
    double sum = 0;  // microseconds
    int count = 0;
    void add(Clock::duration time) {
      if (count == kMost) sum /= 2, count /= 2;  // what was long ago counts less
      sum += std::chrono::duration<double, std::micro>(time).count();
      count++;
    }
    double mean() const { return sum / count; }
  };
  struct Pace {
    RegionKey region{};
    Times team, alone;
  };

  Pace& of(const RegionKey& region) {  // one that falls on another's place takes it
    const uint64_t mixed = (reinterpret_cast<uintptr_t>(region.function) ^ static_cast<uint64_t>(region.flops)) * 0x9E3779B97F4A7C15u;
    Pace& pace = paces_[mixed >> 58];
    if (pace.region != region) pace = {region, {}, {}};
    return pace;
  }

  static constexpr int kLeast = 3, kMost = 64;
  static constexpr double kSeen = 10'000, kWorth = 1.08;  // microseconds on the team; times as fast as alone
  std::array<Pace, 64> paces_{};
};

}  // namespace backtime
