// The most multiply-adds that one core issues: what the benchmarks measure every kernel against.
#pragma once
#include <chrono>

#include "simd.hpp"

namespace backtime::BT_ISA {

// Flops a second of this thread over so many milliseconds. The chains do not wait for one another and stay in registers
// with their two factors: no memory, no latency, only the issue of multiply-adds is left.
template <class T> double fma_peak(int milliseconds) {
  using Clock = std::chrono::steady_clock;
  constexpr int chains = BT_REGISTERS == 32 ? 24 : 12;
  constexpr long rounds = 10000;
  volatile T shrink = T(0.5), sink;  // read at run time, so that the compiler cannot know where the chains lead
  const Vec<T> a = broadcast<T>(shrink), b = broadcast<T>(shrink);
  Vec<T> z[chains];
#pragma GCC unroll 24
  for (int i = 0; i < chains; i++) z[i] = broadcast<T>(T(i));
  long done = 0;
  const Clock::time_point start = Clock::now(), end = start + std::chrono::milliseconds(milliseconds);
  Clock::time_point now;
  do {
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 24
      for (int i = 0; i < chains; i++) z[i] = fma<T>(z[i], a, b);
    done += rounds;
    now = Clock::now();
  } while (now < end);
  for (int i = 1; i < chains; i++) z[0] += z[i];
  sink = sum_lanes<T>(z[0]);
  static_cast<void>(sink);
  return 2.0 * LANES<T> * chains * static_cast<double>(done) / std::chrono::duration<double>(now - start).count();
}

}  // namespace backtime::BT_ISA
