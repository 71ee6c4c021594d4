// The OpenMP threads that PyTorch has: found in the process, not linked to.
//
// PyTorch's threads look out for work for milliseconds after each of its operations, on the processors that the engine needs
// next. So where PyTorch is in the process the engine runs on those threads, whoever's operation comes next.
#pragma once
#include "arrivals.hpp"
#include "team.hpp"

namespace backtime {

struct OpenMp {
  void (*parallel)(void (*)(void*), void*, unsigned threads, unsigned flags);  // GOMP_parallel, which libomp and libiomp5 have too
  int (*thread_num)(), (*num_threads)(), (*in_parallel)(), (*max_threads)();   // omp_get_..., omp_in_parallel
  int (*torch_threads)();                                                     // at::get_num_threads, or null
  // How many threads PyTorch's operations use when this thread calls them.
  int threads() const { return torch_threads ? torch_threads() : max_threads(); }
};

// PyTorch's, or null: looked for again whenever a library was loaded. `any`: OpenMP in the process without PyTorch will do.
const OpenMp* find_openmp(bool any = false);

// Runs a region on them. It ends when the last of them has come, even one that finds nothing left to do.
Turn run_openmp(const OpenMp& openmp, int threads, double flops, RegionFunction function, void* context);

}  // namespace backtime
