// The rule for PyTorch's threads, told how regions went: prints what it chose, one fact a line.
#include "threads/arrivals.hpp"

#include <cstdio>

using namespace backtime;
using std::chrono::milliseconds;

namespace {

Arrivals arrivals;
const RegionKey region{nullptr, 1e6};

void good() { arrivals.note(TeamKind::pytorch, region, {milliseconds(0), milliseconds(1), false}); }
void stalled() { arrivals.note(TeamKind::pytorch, region, {milliseconds(0), milliseconds(1), true}); }
void late() { arrivals.note(TeamKind::pytorch, region, {milliseconds(20), milliseconds(1), false}); }

double pause_ms() {
  const auto begin = Clock::now();
  while (!arrivals.prompt()) pause_processor();
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

int until_steady() {
  int regions = 0;
  for (; !arrivals.steady(); regions++) good();
  return regions;
}

}  // namespace

int main() {
  std::printf("steady_at_first %d\n", arrivals.steady());
  stalled();
  std::printf("steady_after_stall %d\n", arrivals.steady());
  stalled();
  std::printf("prompt_after_stalls %d\n", arrivals.prompt());
  std::printf("regions_until_steady %d\n", until_steady());
  late();
  std::printf("prompt_after_late %d\n", arrivals.prompt());
  late();
  std::printf("prompt_after_two_late %d\n", arrivals.prompt());
  std::printf("first_pause_ms %.1f\n", pause_ms());
  late();
  std::printf("second_pause_ms %.1f\n", pause_ms());
  until_steady();
  late(), late();
  std::printf("pause_after_quiet_ms %.1f\n", pause_ms());
}
