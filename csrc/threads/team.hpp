// The thread team: one parallel region for each call of the engine. docs/threads.md tells the story.
#pragma once
#include <atomic>
#include <type_traits>

namespace backtime {

class Barrier {  // for the members of one region: `wait` returns when all have come
 public:
  void wait(int members);
  bool stalled() const { return stalled_.load(std::memory_order_relaxed); }  // whether one waited long

 private:
  std::atomic<int> arrived_{0}, generation_{0}, sleepers_{0};
  std::atomic<bool> stalled_{false};
};

struct Member {  // what a region's function is told
  int id, count;
  Barrier* barrier;
  void wait() const {
    if (count > 1) barrier->wait(count);
  }
  // This member's share [begin, end) of n items, in whole multiples of `grain` as far as possible.
  void share(long n, long grain, long& begin, long& end) const {
    const long units = (n + grain - 1) / grain;
    begin = units * id / count * grain;
    end = units * (id + 1) / count * grain;
    if (begin > n) begin = n;
    if (end > n) end = n;
  }
};

using RegionFunction = void (*)(void* context, const Member&);

// The size set; or BACKTIME_NUM_THREADS; or PyTorch's number of threads, without PyTorch OMP_NUM_THREADS, and never more
// than the processors granted to this process. Throws std::invalid_argument where an environment variable is wrong.
int team_size();
void set_team_size(int n);  // n >= 1, or 0: no longer set

// Whether the last regions went without a member losing its processor; else members should wait for each other seldom.
bool team_steady();

// Whose threads would run a region now: "pytorch" or "own".
const char* team_name();

// Calls function(context, member) on at most `threads` members, the caller being member 0, and waits for all. How
// many there are is only known inside (a busy machine may lend fewer), so the work must be shared out by `member`.
// `flops`: roughly what there is to do; the more, the longer the region waits for its members.
void run_region(int threads, double flops, RegionFunction function, void* context);

template <class F> void parallel(int threads, double flops, F&& body) {
  using Body = std::remove_reference_t<F>;
  run_region(threads, flops, [](void* context, const Member& me) { (*static_cast<Body*>(context))(me); }, &body);
}

}  // namespace backtime
