// Members of a region that lose their processor: planted by sleeping. Prints what it found, one fact a line.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "threads/team.hpp"
#include "threads/waiting.hpp"

using namespace backtime;
using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

void work(microseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) pause_processor();
}

struct Region {
  milliseconds middle{0}, end{0};  // member 1 sleeps before a barrier, and after it
  std::atomic<int> members{0};
};

// How many took part. What takes much longer than planted was disturbed by another program.
int members(Region& region) {
  const auto begin = Clock::now();
  parallel(2, 1e9, [&](const Member& me) {
    if (me.id == 0) region.members = me.count;
    if (me.id == 1) std::this_thread::sleep_for(region.middle);
    me.wait();
    work(microseconds(2000 / me.count));  // alone it takes twice as long
    if (me.id == 1) std::this_thread::sleep_for(region.end);
  });
  if (Clock::now() - begin > region.middle + region.end + milliseconds(5)) std::puts("busy 1"), std::exit(0);
  return region.members;
}

int quiet() {
  Region region;
  return members(region);
}

void plant(milliseconds middle, milliseconds end) {  // in a region that had two members: on a busy machine not every one
  for (int i = 0; i < 10000; i++) {
    Region region{middle, end};
    if (members(region) == 2) return;
  }
  std::puts("busy 1"), std::exit(0);
}

void stall_at_barrier() { plant(milliseconds(20), milliseconds(0)); }

double alone_ms() {  // how long regions run with the caller alone from now on
  const auto begin = Clock::now();
  while (quiet() == 1) std::this_thread::sleep_for(milliseconds(1));
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

int until_steady() {  // how many regions it takes; where other programs keep it from that there is nothing to be seen
  int regions = 0;
  const auto end = Clock::now() + std::chrono::seconds(20);
  for (; !team_steady() || quiet() < 2; regions++)
    if (quiet(); Clock::now() > end) std::puts("busy 1"), std::exit(0);
  return regions;
}

int late_until_alone() {  // how many regions with a late member it takes until the caller works alone
  Region region{milliseconds(0), milliseconds(20)};
  for (int count = 0; count < 1000; count++)
    if (members(region) == 1) return count;
  return 1000;
}

}  // namespace

int main() {
  set_team_size(2);
  until_steady();
  stall_at_barrier();
  std::printf("steady_after_stall %d\n", team_steady());
  std::printf("members_after_stall %d\n", quiet());
  std::printf("trial_ms %.1f\n", alone_ms());
  std::printf("regions_until_steady %d\n", until_steady());
  std::printf("members_when_quiet %d\n", quiet());

  std::printf("late_until_alone %d\n", late_until_alone());
  std::printf("second_pause_ms %.1f\n", alone_ms());
  std::printf("late_until_alone_again %d\n", late_until_alone());
  std::printf("third_pause_ms %.1f\n", alone_ms());
}
