// The thread team: one persistent set of workers, one parallel region per engine call.
//
// Workers spin briefly after a region, then sleep, so that they do not fight other thread pools. The team is
// rebuilt after fork() and serves one Python thread at a time (a second caller runs its region alone, in order).
#pragma once
#include <atomic>
#include <type_traits>

namespace backtime {

class Barrier {  // for the members of one region: `wait` returns when all have come
 public:
  void wait(int members);

 private:
  std::atomic<int> arrived_{0}, generation_{0};
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

int team_size();            // the size set, or BACKTIME_NUM_THREADS, or the processors this process may use
void set_team_size(int n);  // n >= 1

// Calls function(context, member) on at most `threads` members, the caller being member 0, and waits for all. How
// many there are is only known inside (a busy machine may lend fewer), so the work must be shared out by `member`.
// `flops`: roughly what there is to do; the more, the longer the region waits for its members.
void run_region(int threads, double flops, void (*function)(void*, const Member&), void* context);

template <class F> void parallel(int threads, double flops, F&& body) {
  using Body = std::remove_reference_t<F>;
  run_region(threads, flops, [](void* context, const Member& me) { (*static_cast<Body*>(context))(me); }, &body);
}

}  // namespace backtime
