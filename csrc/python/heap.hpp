// How much freed memory the C library keeps for the next step of a training loop.
#pragma once
#include <cstdlib>

namespace backtime {

// A step frees what it took: logits, their gradients. glibc gives freed memory at the end of its heap back to the system once it
// is twice as large as the largest block that was freed so far; the next step then takes each page anew, which costs more
// than many a layer. glibc adapts that limit as blocks are freed, up to blocks of 32 MiB; so one such block, which nobody
// touches, is taken and freed once. Up to 64 MiB then stay. A process that sets the limits itself (MALLOC_TRIM_THRESHOLD_ and
// the like, mallopt) is not adapted, here neither; another C library, or another malloc, takes no notice.
inline void keep_freed_memory() {
  constexpr size_t kLargest = 32u << 20, kHeader = 16384;
  void* volatile block = std::malloc(kLargest - kHeader);
  std::free(block);
}

}  // namespace backtime
