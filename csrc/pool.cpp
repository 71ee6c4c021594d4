#include "pool.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

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

}  // namespace

void* pool_take(size_t bytes) {
  bytes = size_class(bytes);
  {
    std::lock_guard<std::mutex> guard(lock());
    auto& list = idle()[bytes];
    if (!list.empty()) {
      void* p = list.back();
      list.pop_back();
      idle_bytes -= bytes;
      return p;
    }
  }
  return fresh(bytes);
}

void pool_give(void* p, size_t bytes) {
  bytes = size_class(bytes);
  std::lock_guard<std::mutex> guard(lock());
  if (idle_bytes + bytes > kKeep) return std::free(p);
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
