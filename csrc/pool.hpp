// Aligned buffers that are kept for the next call: a training loop asks for the same sizes again and again, and
// fresh pages from the kernel would cost more than the arithmetic that fills them.
#pragma once
#include <cstddef>

namespace backtime {

void* pool_take(size_t bytes);          // 64-byte aligned, contents undefined; throws std::bad_alloc
void pool_give(void* p, size_t bytes);  // back to the pool
size_t pool_trim();                     // frees what no one holds; returns the bytes freed

template <class T> class Buffer {  // owns `size` elements; movable, not copyable
 public:
  Buffer() = default;
  explicit Buffer(size_t size) : size_(size), data_(size ? static_cast<T*>(pool_take(size * sizeof(T))) : nullptr) {}
  Buffer(Buffer&& other) noexcept : size_(other.size_), data_(other.data_) { other.data_ = nullptr, other.size_ = 0; }
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      release();
      size_ = other.size_, data_ = other.data_;
      other.data_ = nullptr, other.size_ = 0;
    }
    return *this;
  }
  ~Buffer() { release(); }
  T* data() const { return data_; }
  size_t size() const { return size_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  void release() {
    if (data_) pool_give(data_, size_ * sizeof(T));
    data_ = nullptr;
  }
  size_t size_ = 0;
  T* data_ = nullptr;
};

}  // namespace backtime
