// Members of a region that lose their processor: planted by sleeping. Prints what it found, one fact a line.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "threads/team.hpp"
#include "threads/waiting.hpp"

using namespace backtime;
using std::chrono::milliseconds;

namespace {

void work(milliseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) pause_processor();
}

struct Region {
  milliseconds middle{0}, end{0};  // member 1 sleeps before a barrier, and after it
  std::atomic<int> members{0};
};

int members(Region& region) {  // how many took part
  parallel(2, 1e9, [&](const Member& me) {
    if (me.id == 0) region.members = me.count;
    if (me.id == 1) std::this_thread::sleep_for(region.middle);
    me.wait();
    work(milliseconds(1));
    if (me.id == 1) std::this_thread::sleep_for(region.end);
  });
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
void come_late_at_end() { plant(milliseconds(0), milliseconds(20)); }

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

}  // namespace

int main() {
  set_team_size(2);
  until_steady();
  stall_at_barrier();
  std::printf("steady_after_stall %d\n", team_steady());
  std::printf("regions_until_steady %d\n", until_steady());

  come_late_at_end();
  std::printf("steady_after_one_late %d\n", team_steady());
  come_late_at_end();
  std::printf("members_after_two_late %d\n", quiet());
  std::printf("first_pause_ms %.1f\n", alone_ms());
  come_late_at_end();
  std::printf("second_pause_ms %.1f\n", alone_ms());
}
