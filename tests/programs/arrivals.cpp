// The rules for PyTorch's threads, and of the own team for long regions, told how regions went: prints what was chosen, one
// fact a line.
#include "threads/arrivals.hpp"

#include <cstdio>
#include <thread>

using namespace backtime;
using std::chrono::milliseconds;

namespace {

Arrivals arrivals;
const RegionKey region{nullptr, 1e6};

void good() { arrivals.note(TeamKind::pytorch, region, {milliseconds(0), milliseconds(1), false}); }
void stalled() { arrivals.note(TeamKind::pytorch, region, {milliseconds(0), milliseconds(1), true}); }
void late() { arrivals.note(TeamKind::pytorch, region, {milliseconds(20), milliseconds(1), false}); }

double pause_ms(const Arrivals& arrivals) {
  const auto begin = Clock::now();
  while (!arrivals.prompt()) pause_processor();
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

int until_steady() {
  int regions = 0;
  for (; !arrivals.steady(); regions++) good();
  return regions;
}

// On the own team: a stall makes the caller try to work alone; a region of ten seconds is enough of a trial, and for long.
void long_regions() {
  Arrivals own;
  const Turn stall{milliseconds(0), milliseconds(1), true};
  own.note(TeamKind::own, region, stall);
  std::printf("prompt_in_trial %d\n", own.prompt());
  own.note_alone(region, std::chrono::seconds(10));
  std::printf("long_trial_ms %.1f\n", pause_ms(own));
  std::this_thread::sleep_for(milliseconds(2100));
  own.note(TeamKind::own, region, stall);
  std::printf("prompt_after_long_trial %d\n", own.prompt());
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
  std::printf("first_pause_ms %.1f\n", pause_ms(arrivals));
  late();
  std::printf("second_pause_ms %.1f\n", pause_ms(arrivals));
  until_steady();
  late(), late();
  std::printf("pause_after_quiet_ms %.1f\n", pause_ms(arrivals));
  long_regions();
}
