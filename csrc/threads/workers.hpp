// Threads of our own: for a process without PyTorch, a forked child, and a call that wants more threads than PyTorch has.
#pragma once
#include <thread>
#include <vector>

#include "arrivals.hpp"
#include "door.hpp"
#include "team.hpp"

namespace backtime {

class Workers {
 public:
  ~Workers();
  Turn run(int count, double flops, RegionFunction function, void* context);

 private:
  void grow(int count);
  void serve(int seen);

  std::vector<std::thread> threads_;
  std::atomic<int> ticket_{0}, remaining_{0}, sleepers_{0}, waiters_{0};
  std::atomic<bool> ending_{false};
  Door door_;
  RegionFunction function_ = nullptr;
  void* context_ = nullptr;
  Barrier* barrier_ = nullptr;
};

}  // namespace backtime
