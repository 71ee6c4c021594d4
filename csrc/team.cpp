#include "team.hpp"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace backtime {
namespace {

// Before it sleeps a thread waits about 0.5 ms (Zen 4), for waking up is dear in a virtual machine: first for itself, then
// offering its processor to whoever wants it, such as PyTorch's threads, at every look.
constexpr int kLooksAlone = 200, kLooksYielding = 1000;
constexpr int kMostMembers = 256;                    // of a team, whatever is asked
// How long a region waits for its workers: a sixteenth of what it would take alone, at 1e5 flops a microsecond. To wait for
// one that does not come costs little; to run a long call without one that comes a moment later would cost much.
constexpr double kLeastPatience = 100, kFlopsOfPatience = 16e5;  // microseconds; flops for one more

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until *word != old: spins first, then sleeps in the kernel.
void await_change(std::atomic<int>& word, int old, std::atomic<int>& sleepers) {
  for (int i = 0; i < kLooksAlone + kLooksYielding; i++) {
    if (word.load(std::memory_order_acquire) != old) return;
    i < kLooksAlone ? pause() : (void)sched_yield();
  }
  sleepers.fetch_add(1);
  while (word.load(std::memory_order_seq_cst) == old)
    syscall(SYS_futex, reinterpret_cast<int*>(&word), FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
  sleepers.fetch_sub(1);
}

void wake_all(std::atomic<int>& word, std::atomic<int>& sleepers) {
  if (sleepers.load(std::memory_order_seq_cst) > 0)
    syscall(SYS_futex, reinterpret_cast<int*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

// A region opens with a new ticket; workers that see it in time join; the caller closes it and all begin. On a busy
// machine a worker may have no processor for milliseconds: then the region runs without it, which changes no result.
struct Team {
  std::vector<std::thread> workers;
  std::atomic<int> ticket{0}, remaining{0}, sleepers{0}, waiters{0};
  std::atomic<uint64_t> door{0};  // ticket << 32 | closed << 31 | how many have joined
  void (*function)(void*, const Member&) = nullptr;
  void* context = nullptr;
  std::atomic<int> most{0};  // members at the most; a worker that comes too late may read it while it is set anew
  Barrier* barrier = nullptr;
  std::atomic<bool> ending{false};
  static constexpr uint64_t kClosed = uint64_t(1) << 31;

  void grow(int count) {
    while (static_cast<int>(workers.size()) < count - 1) try {
        workers.emplace_back([this, seen = ticket.load()] { serve(seen); });
      } catch (const std::system_error&) {
        return;  // the system gives no more threads: those that are there do the work
      }
  }
  void serve(int seen) {
    for (;;) {
      await_change(ticket, seen, sleepers);
      seen = ticket.load(std::memory_order_acquire);
      if (ending) return;
      const int id = join(seen);
      if (id == 0) continue;
      uint64_t now;
      while (!((now = door.load(std::memory_order_acquire)) & kClosed)) pause();
      function(context, Member{id, static_cast<int>(now & (kClosed - 1)) + 1, barrier});
      if (remaining.fetch_sub(1) == 1) wake_all(remaining, waiters);
    }
  }
  int join(int seen) {  // this worker's number in the region of ticket `seen`, from 1, or 0: too late, or not needed
    uint64_t now = door.load(std::memory_order_acquire);
    do {
      const bool open = static_cast<int>(now >> 32) == seen && !(now & kClosed);
      if (!open || static_cast<int>(now & (kClosed - 1)) >= most.load(std::memory_order_relaxed) - 1) return 0;
    } while (!door.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel));
    return static_cast<int>(now & (kClosed - 1)) + 1;
  }
  int close(int count, std::chrono::microseconds patience) {  // waits for the others, not for long; returns how many there are with the caller
    using clock = std::chrono::steady_clock;
    const auto joined = [&] { return static_cast<int>(door.load(std::memory_order_acquire) & (kClosed - 1)); };
    const auto end = clock::now() + patience;
    for (int i = 1; joined() < count - 1; i++) {
      pause();
      if (i % 64 == 0 && clock::now() > end) break;
    }
    const uint64_t last = door.fetch_or(kClosed, std::memory_order_acq_rel);
    return static_cast<int>(last & (kClosed - 1)) + 1;
  }
  void run(int count, double flops, void (*f)(void*, const Member&), void* c) {
    grow(count);
    count = std::min(count, static_cast<int>(workers.size()) + 1);
    Barrier own;
    function = f, context = c, barrier = &own;
    most.store(count, std::memory_order_relaxed);
    remaining.store(count - 1);
    const int next = ticket.load() + 1;
    door.store(static_cast<uint64_t>(static_cast<uint32_t>(next)) << 32, std::memory_order_release);
    ticket.store(next);
    wake_all(ticket, sleepers);
    const int members = close(count, std::chrono::microseconds(static_cast<long>(std::max(kLeastPatience, flops / kFlopsOfPatience))));
    remaining.fetch_sub(count - members);
    f(c, Member{0, members, &own});
    for (int left; (left = remaining.load(std::memory_order_acquire)) != 0;)
      await_change(remaining, left, waiters);
  }
  ~Team() {
    ending = true;
    ticket.fetch_add(1);
    wake_all(ticket, sleepers);
    for (auto& worker : workers) worker.join();
  }
};

std::mutex* team_lock = new std::mutex;
Team* team = nullptr;  // never freed in a forked child, where its threads do not exist
std::atomic<int> size_set{0};

void forget_after_fork() {
  team = nullptr;
  team_lock = new std::mutex;  // another thread of the parent may have held the old one
}
// A daemon thread of Python may be in the middle of a call, or begin one: then the team ends with the process. The lock is
// kept, so that a call begun after this one runs alone.
void end_with_process() {
  if (!team_lock->try_lock()) return;
  delete team;
  team = nullptr;
}

int processors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

void Barrier::wait(int members) {
  const int now = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == members - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(now + 1, std::memory_order_release);
    return;
  }
  // A step is short, so spin; give the processor away when the others seem to have none.
  for (int i = 0; generation_.load(std::memory_order_acquire) == now; i++) i < 4000 ? pause() : (void)sched_yield();
}

int team_size() {
  if (const int set = size_set.load()) return set;
  static const int from_environment = [] {
    const char* text = std::getenv("BACKTIME_NUM_THREADS");
    const int n = text ? std::atoi(text) : 0;
    return n > 0 ? n : processors();
  }();
  return from_environment;
}
void set_team_size(int n) {
  if (n < 1) throw std::invalid_argument("n is " + std::to_string(n) + "; expected a number from 1");
  size_set.store(n);
}

void run_region(int threads, double flops, void (*function)(void*, const Member&), void* context) {
  static const int once = (pthread_atfork(nullptr, nullptr, forget_after_fork), std::atexit(end_with_process));
  (void)once;
  if (threads > 1) {
    std::unique_lock<std::mutex> lock(*team_lock, std::try_to_lock);
    if (lock.owns_lock()) {
      if (!team) team = new Team;
      return team->run(std::min(threads, kMostMembers), flops, function, context);
    }
  }
  Barrier alone;
  function(context, Member{0, 1, &alone});
}

}  // namespace backtime
