#include "openmp.hpp"

#include <dlfcn.h>
#include <link.h>

#include <mutex>

#include "door.hpp"

namespace backtime {
namespace {

// How many libraries have been loaded so far.
unsigned long long loaded() {
  unsigned long long count = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* count) {
        *static_cast<unsigned long long*>(count) = info->dlpi_adds;
        return 1;
      },
      &count);
  return count;
}

// As PyTorch's own library finds it: among the libraries that are visible to all, then among those that it needs.
template <class F> bool look_up(void* library, const char* name, F*& function) {
  void* symbol = dlsym(RTLD_DEFAULT, name);
  if (!symbol && library) symbol = dlsym(library, name);
  function = reinterpret_cast<F*>(symbol);
  return symbol != nullptr;
}

bool look_up_all(void* torch, OpenMp& found) {
  if (torch) look_up(torch, "_ZN2at15get_num_threadsEv", found.torch_threads);
  return look_up(torch, "GOMP_parallel", found.parallel) && look_up(torch, "omp_get_thread_num", found.thread_num) &&
         look_up(torch, "omp_get_num_threads", found.num_threads) && look_up(torch, "omp_in_parallel", found.in_parallel) &&
         look_up(torch, "omp_get_max_threads", found.max_threads);
}

struct Region {
  const OpenMp& openmp;
  RegionFunction function;
  void* context;
  int most;
  std::chrono::microseconds patience;
  Door door{};
  Barrier barrier{};
  std::atomic<int> working{0};  // besides the caller: OpenMP's own barrier says it too, but not to ThreadSanitizer
  Clock::time_point begin{}, end{};  // of the caller's work
};

void take_part(void* p) {
  Region& region = *static_cast<Region*>(p);
  if (region.openmp.thread_num() == 0) {
    region.door.limit(std::min(region.most, region.openmp.num_threads()));
    const int members = region.door.close(region.patience);
    region.begin = Clock::now();
    region.function(region.context, Member{0, members, &region.barrier});
    region.end = Clock::now();
    return;
  }
  region.working.fetch_add(1);
  if (const int id = region.door.join(0)) region.function(region.context, Member{id, region.door.members(), &region.barrier});
  region.working.fetch_sub(1, std::memory_order_release);
}

}  // namespace

const OpenMp* find_openmp(bool any) {
  static std::atomic<const OpenMp*> found{nullptr};
  static std::atomic<unsigned long long> looked{0};
  if (const OpenMp* openmp = found.load(std::memory_order_acquire)) return openmp;
  const unsigned long long now = loaded();
  if (looked.load() == now) return nullptr;
  static std::mutex* mutex = new std::mutex;
  std::lock_guard<std::mutex> guard(*mutex);
  void* torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
  static OpenMp openmp{};
  if ((torch || any) && !found.load() && look_up_all(torch, openmp)) found.store(&openmp, std::memory_order_release);
  looked.store(now);
  return found.load();
}

Turn run_openmp(const OpenMp& openmp, int threads, double flops, RegionFunction function, void* context) {
  Region region{openmp, function, context, threads, patience(flops)};
  const auto start = Clock::now();
  region.door.open(0, threads);
  // All of PyTorch's threads, though fewer may be needed: libgomp ends those that a smaller region leaves out.
  openmp.parallel(take_part, &region, static_cast<unsigned>(openmp.threads()), 0);
  while (region.working.load(std::memory_order_acquire) != 0) pause_processor();
  const auto working = region.end - region.begin;
  return {Clock::now() - start - working, working, region.barrier.stalled()};
}

}  // namespace backtime
