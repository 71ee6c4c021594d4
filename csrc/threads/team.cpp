#include "team.hpp"

#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>

#include "arrivals.hpp"
#include "openmp.hpp"
#include "processors.hpp"
#include "workers.hpp"

namespace backtime {
namespace {

constexpr int kMostMembers = 256;  // of a team, whatever is asked

enum class Choice { automatic, own, openmp };

Choice choice() {
  static const Choice chosen = [] {
    const char* text = std::getenv("BACKTIME_THREADS");
    if (!text || !*text || !std::strcmp(text, "auto")) return Choice::automatic;
    if (!std::strcmp(text, "own")) return Choice::own;
    if (!std::strcmp(text, "openmp")) return Choice::openmp;
    throw std::invalid_argument("BACKTIME_THREADS is '" + std::string(text) + "'; expected auto, own or openmp");
  }();
  return chosen;
}

// One region at a time: a second Python thread runs its own alone. Never freed, and in a forked child made anew: its
// threads do not exist there, and another thread of the parent may have held the lock.
std::mutex* team_lock = new std::mutex;
Workers* workers = nullptr;
Arrivals arrivals;
bool forked = false;  // libgomp would wait in a child for threads that do not exist there
std::atomic<int> size_set{0};

void forget_after_fork() {
  workers = nullptr;
  team_lock = new std::mutex;
  forked = true;
}
// A daemon thread of Python may be in the middle of a call, or begin one: then the team ends with the process. The lock is
// kept, so that a call begun after this one runs alone.
void end_with_process() {
  if (!team_lock->try_lock()) return;
  delete workers;
  workers = nullptr;
}

const OpenMp* pytorch() { return forked || choice() == Choice::own ? nullptr : find_openmp(choice() == Choice::openmp); }

// PyTorch's threads, if a region of so many members runs on them.
const OpenMp* chosen_openmp(int threads) {
  const OpenMp* openmp = pytorch();
  return openmp && threads <= openmp->threads() && openmp->threads() <= processors() ? openmp : nullptr;
}

void run_team(int threads, const RegionKey& region, void* context) {
  const auto [function, flops] = region;
  if (const OpenMp* openmp = chosen_openmp(threads))
    return arrivals.note(TeamKind::pytorch, region, run_openmp(*openmp, threads, flops, function, context));
  if (!workers) workers = new Workers;
  arrivals.note(TeamKind::own, region, workers->run(threads, flops, function, context));
}

void run_alone(RegionFunction function, void* context) {
  Barrier alone;
  function(context, Member{0, 1, &alone});
}

}  // namespace

int team_size() {
  if (const int set = size_set.load()) return set;
  static const int from_environment = number_from_environment("BACKTIME_NUM_THREADS");
  if (from_environment) return from_environment;
  const OpenMp* openmp = pytorch();
  const int wanted = openmp ? openmp->threads() : openmp_number(), most = processors();
  return wanted ? std::min(wanted, most) : most;
}
void set_team_size(int n) {
  if (n < 0) throw std::invalid_argument("n is " + std::to_string(n) + "; expected a number from 1, or 0");
  size_set.store(n);
}

bool team_steady() { return arrivals.steady(); }

const char* team_name() { return chosen_openmp(2) ? "pytorch" : "own"; }

void run_region(int threads, double flops, RegionFunction function, void* context) {
  static const int once = (pthread_atfork(nullptr, nullptr, forget_after_fork), std::atexit(end_with_process));
  (void)once;
  if (threads <= 1) return run_alone(function, context);
  const OpenMp* openmp = pytorch();
  std::unique_lock<std::mutex> lock(*team_lock, std::try_to_lock);
  if (!lock.owns_lock() || (openmp && openmp->in_parallel())) return run_alone(function, context);
  const RegionKey region{function, flops};
  if (arrivals.prompt() || choice() != Choice::automatic) return run_team(std::min(threads, kMostMembers), region, context);
  const auto start = Clock::now();
  run_alone(function, context);
  arrivals.note_alone(region, Clock::now() - start);
}

}  // namespace backtime
