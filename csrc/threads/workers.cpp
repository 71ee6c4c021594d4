#include "workers.hpp"

#include <system_error>

namespace backtime {

void Workers::grow(int count) {
  while (static_cast<int>(threads_.size()) < count - 1) try {
      threads_.emplace_back([this, seen = ticket_.load()] { serve(seen); });
    } catch (const std::system_error&) {
      return;  // the system gives no more threads: those that are there do the work
    }
}

void Workers::serve(int seen) {
  for (;;) {
    await_change(ticket_, seen, sleepers_);
    seen = ticket_.load(std::memory_order_acquire);
    if (ending_) return;
    const int id = door_.join(seen);
    if (id == 0) continue;
    const int members = door_.members();
    function_(context_, Member{id, members, barrier_});
    if (remaining_.fetch_sub(1) == 1) wake_all(remaining_, waiters_);
  }
}

Turn Workers::run(int count, double flops, RegionFunction function, void* context) {
  const auto start = Clock::now();
  grow(count);
  count = std::min(count, static_cast<int>(threads_.size()) + 1);
  Barrier barrier;
  function_ = function, context_ = context, barrier_ = &barrier;
  remaining_.store(count - 1);
  const int next = ticket_.load() + 1;
  door_.open(next, count);
  ticket_.store(next);
  wake_all(ticket_, sleepers_);
  const int members = door_.close(patience(flops));
  remaining_.fetch_sub(count - members);
  const auto begin = Clock::now();
  function(context, Member{0, members, &barrier});
  const auto working = Clock::now() - begin;
  for (int left; (left = remaining_.load(std::memory_order_acquire)) != 0;) await_change(remaining_, left, waiters_);
  return {Clock::now() - start - working, working, barrier.stalled()};
}

Workers::~Workers() {
  ending_ = true;
  ticket_.fetch_add(1);
  wake_all(ticket_, sleepers_);
  for (auto& thread : threads_) thread.join();
}

}  // namespace backtime
