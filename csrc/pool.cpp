#include "pool.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace backtime {
namespace {

constexpr size_t kHugePage = size_t(2) << 20;
constexpr size_t kKeep = size_t(1) << 30;  // at most this much lies idle

std::mutex* mutex = new std::mutex;

// fork() waits until no thread is inside the pool: a child would find it locked for ever, by a thread it does not have.
std::mutex& lock() {
  static const int once = pthread_atfork([] { mutex->lock(); }, [] { mutex->unlock(); }, [] { mutex->unlock(); });
  (void)once;
  return *mutex;
}
std::map<size_t, std::vector<void*>>& idle() {
  static auto* buffers = new std::map<size_t, std::vector<void*>>;
  return *buffers;
}
size_t idle_bytes = 0;

// Sizes are rounded up to an eighth of their power of two, so that calls of nearly equal sizes share buffers.
size_t size_class(size_t bytes) {
  if (bytes <= 4096) return 4096;
  const size_t step = size_t(1) << (60 - __builtin_clzll(bytes - 1));
  return (bytes + step - 1) / step * step;
}

void* fresh(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (!p) throw std::bad_alloc();
  if (bytes >= kHugePage) madvise(p, bytes, MADV_HUGEPAGE);
  return p;
}

// For `make sanitize`: what lies idle, or beyond the size asked for, is out of bounds; what nobody has written is NaN.
#ifdef __SANITIZE_ADDRESS__
void* lent(void* p, size_t asked, size_t bytes) {
  __asan_unpoison_memory_region(p, asked);
  __asan_poison_memory_region(static_cast<char*>(p) + asked, bytes - asked);
  return std::memset(p, 0xff, asked);
}
void returned(void* p, size_t bytes) { __asan_poison_memory_region(p, bytes); }
#else
void* lent(void* p, size_t, size_t) { return p; }
void returned(void*, size_t) {}
#endif

}  // namespace

void* pool_take(size_t asked) {
  const size_t bytes = size_class(asked);
  {
    std::lock_guard<std::mutex> guard(lock());
    auto& list = idle()[bytes];
    if (!list.empty()) {
      void* p = list.back();
      list.pop_back();
      idle_bytes -= bytes;
      return lent(p, asked, bytes);
    }
  }
  return lent(fresh(bytes), asked, bytes);
}

void pool_give(void* p, size_t bytes) {
  bytes = size_class(bytes);
  std::lock_guard<std::mutex> guard(lock());
  if (idle_bytes + bytes > kKeep) return std::free(p);
  returned(p, bytes);
  idle()[bytes].push_back(p);
  idle_bytes += bytes;
}

size_t pool_trim() {
  std::lock_guard<std::mutex> guard(lock());
  for (auto& [bytes, list] : idle()) {
    for (void* p : list) std::free(p);
    list.clear();
  }
  const size_t freed = idle_bytes;
  idle_bytes = 0;
  return freed;
}

}  // namespace backtime
