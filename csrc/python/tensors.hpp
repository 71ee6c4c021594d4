// Tensors of the caller, read through DLPack capsules, and tensors made for it.
//
// A capsule is borrowed for the length of a call: who made it frees it, so nothing of the caller's memory is held afterwards.
#pragma once
#include <initializer_list>
#include <memory>

#include "arrays.hpp"

namespace backtime {

class Tensor {  // as it lies in memory: of any strides
  const nb::dlpack::dltensor* tensor_ = nullptr;
  const char* name_ = "";

 public:
  Tensor() = default;
  Tensor(nb::handle capsule, const char* name) : name_(name) {
    if (!PyCapsule_IsValid(capsule.ptr(), "dltensor")) refuse("is no tensor");
    tensor_ = static_cast<const nb::dlpack::dltensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
    if (tensor_->device.device_type != nb::device::cpu::value) refuse("is not on the CPU");
    if (size() && !tensor_->data) refuse("has no memory");
    if (reinterpret_cast<uintptr_t>(bytes()) % (tensor_->dtype.bits / 8 ? tensor_->dtype.bits / 8 : 1)) refuse("is not aligned");
  }
  static Tensor optional(nb::handle capsule, const char* name) { return capsule.is_none() ? Tensor() : Tensor(capsule, name); }
  explicit operator bool() const { return tensor_ != nullptr; }
  [[noreturn]] void refuse(const std::string& why) const { throw std::invalid_argument(std::string(name_) + " " + why); }

  int ndim() const { return tensor_->ndim; }
  long size(int axis) const { return tensor_->shape[axis]; }
  long size() const {
    long n = 1;
    for (int i = 0; i < ndim(); i++) n *= size(i);
    return n;
  }
  long stride(int axis) const {  // in elements
    if (tensor_->strides) return tensor_->strides[axis];
    long n = 1;
    for (int i = ndim(); --i > axis;) n *= size(i);
    return n;
  }
  bool is_contiguous() const {
    long expected = 1;
    for (int i = ndim(); i-- > 0; expected *= size(i))
      if (size(i) != 1 && stride(i) != expected) return size() == 0;
    return true;
  }
  void expect(std::initializer_list<long> shape) const {
    bool same = ndim() == static_cast<int>(shape.size());
    int axis = 0;
    for (const long n : shape) same = same && size(axis++) == n;
    if (!same) refuse("has a shape that does not fit");
  }
  template <class T> bool holds() const { return tensor_->dtype == nb::dtype<T>(); }
  template <class T> const T* data() const {
    if (!holds<T>()) refuse("is of another type of numbers");
    return reinterpret_cast<const T*>(bytes());
  }
  bool holds_integers() const {
    const auto code = static_cast<nb::dlpack::dtype_code>(tensor_->dtype.code);
    return code == nb::dlpack::dtype_code::Int || code == nb::dlpack::dtype_code::UInt;
  }

 private:
  const char* bytes() const { return static_cast<const char*>(tensor_->data) + tensor_->byte_offset; }
};

// A tensor for the caller, who takes it as a capsule; its memory goes back when he lets go of it. Contents are undefined.
class NewTensor {
  static constexpr int kMostAxes = 3;
  static constexpr size_t kSmall = size_t(1) << 15;  // bytes: what the C library keeps for the next call of its own accord
  struct Managed {  // DLPack's DLManagedTensor, and where its arrays and its memory are
    nb::dlpack::dltensor tensor;
    void* context;
    void (*deleter)(Managed*);
    int64_t shape[kMostAxes], strides[kMostAxes];
    size_t pooled;  // bytes arrays from the pool; 0: the memory follows this struct
  };
  struct Free {
    void operator()(Managed* m) const {
      if (m->pooled) pool_give(m->tensor.data, m->pooled);
      std::free(m);
    }
  };
  std::unique_ptr<Managed, Free> managed_;

 public:
  NewTensor() = default;
  explicit operator bool() const { return managed_ != nullptr; }

  template <class T> static NewTensor make(std::initializer_list<long> shape, std::initializer_list<long> strides = {}) {
    size_t size = sizeof(T);
    for (const long n : shape)
      if (__builtin_mul_overflow(size, static_cast<size_t>(n), &size) || size > kMostElements) throw std::bad_alloc();
    const size_t head = (sizeof(Managed) + 63) / 64 * 64;
    auto* m = static_cast<Managed*>(std::aligned_alloc(64, head + (size <= kSmall ? (size + 63) / 64 * 64 : 0)));
    if (!m) throw std::bad_alloc();
    m->pooled = 0;
    NewTensor made;
    made.managed_.reset(m);
    void* data = reinterpret_cast<char*>(m) + head;
    if (size > kSmall) data = pool_take(size), m->pooled = size;
    std::copy(shape.begin(), shape.end(), m->shape);
    long expected = 1;
    for (int i = static_cast<int>(shape.size()); i-- > 0;) m->strides[i] = expected, expected *= m->shape[i];
    std::copy(strides.begin(), strides.end(), m->strides);
    m->tensor = {data, {nb::device::cpu::value, 0}, static_cast<int32_t>(shape.size()), nb::dtype<T>(), m->shape, m->strides, 0};
    m->context = nullptr;
    m->deleter = [](Managed* own) { Free()(own); };
    return made;
  }
  template <class T> T* data() const { return managed_ ? static_cast<T*>(managed_->tensor.data) : nullptr; }

  nb::object capsule() && {  // None where nothing was made
    if (!managed_) return nb::none();
    PyObject* made = PyCapsule_New(managed_.get(), "dltensor", [](PyObject* capsule) {
      if (!PyCapsule_IsValid(capsule, "dltensor")) return;  // somebody took it
      auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule, "dltensor"));
      m->deleter(m);
    });
    if (!made) throw nb::python_error();
    managed_.release();
    return nb::steal(made);
  }
};

}  // namespace backtime
