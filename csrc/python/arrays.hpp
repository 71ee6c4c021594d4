// Arrays and names from Python, checked before a pointer of them goes anywhere.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "../calls.hpp"
#include "../pool.hpp"
#include "../threads/team.hpp"
#include "gil.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace backtime {

template <class T> using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T> using Out = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
template <class A> using Maybe = std::optional<A>;
using Tokens = In<int64_t>;

constexpr long kMostElements = 1L << 56;  // sizes in bytes, with what a kernel adds to them, stay far below 2^63

// The pointer of an array after its size is checked.
template <class A> auto* of_size(const A& array, long size, const char* name) {
  if (static_cast<long>(array.size()) != size)
    throw std::invalid_argument(std::string(name) + " has " + std::to_string(array.size()) + " elements; expected " + std::to_string(size));
  if (size && !array.data()) throw std::invalid_argument(std::string(name) + " has no memory");
  if (reinterpret_cast<uintptr_t>(array.data()) % sizeof(*array.data())) throw std::invalid_argument(std::string(name) + " is not aligned");
  return array.data();
}
template <class A> auto of_size(const Maybe<A>& array, long size, const char* name) -> decltype(array->data()) {
  return array ? of_size(*array, size, name) : nullptr;
}
inline const int64_t* tokens_below(const Tokens& tokens, long rows, long limit, const char* name) {
  const int64_t* t = of_size(tokens, rows, name);
  for (long r = 0; r < rows; r++)
    if (t[r] < 0 || t[r] >= limit)
      throw std::invalid_argument(std::string(name) + " holds " + std::to_string(t[r]) + "; expected 0 to " + std::to_string(limit - 1));
  return t;
}

inline CellKind cell_kind(const std::string& name) {
  if (name == "rnn" || name == "jordan") return CellKind::rnn;  // Jordan's: an rnn with an output product inside
  if (name == "gru") return CellKind::gru;
  if (name == "gru_before") return CellKind::gru_before;
  if (name == "lstm") return CellKind::lstm;
  throw std::invalid_argument("cell is '" + name + "'; expected rnn, jordan, gru, gru_before or lstm");
}
inline Activation activation(const std::string& name) {
  if (name == "tanh") return Activation::tanh;
  if (name == "relu") return Activation::relu;
  if (name == "sigmoid") return Activation::sigmoid;
  if (name == "identity") return Activation::identity;
  throw std::invalid_argument("activation is '" + name + "'; expected tanh, relu, sigmoid or identity");
}
inline long gates_of(CellKind cell) { return cell == CellKind::lstm ? 4 : cell == CellKind::rnn ? 1 : 3; }

// An array as it is: nothing is converted, for a copy would die too early, or keep the result.
template <class A> A array_of(nb::handle value, const char* name) {
  A array;
  if (!nb::try_cast(value, array, false))
    throw std::invalid_argument(std::string(name) + " is no contiguous array on the CPU of the type of the call");
  return array;
}
// An array of a tuple, None as nothing.
template <class A> Maybe<A> item(const nb::tuple& t, size_t i, const char* name) {
  if (i >= t.size() || t[i].is_none()) return std::nullopt;
  return array_of<A>(t[i], name);
}
template <class V> V value_of(nb::handle value, const char* name, const char* expected) {
  V out;
  if (!nb::try_cast(value, out)) throw std::invalid_argument(std::string(name) + " is not " + expected);
  return out;
}
inline nb::tuple tuple_of(nb::handle value, const char* name) {
  if (!nb::isinstance<nb::tuple>(value)) throw std::invalid_argument(std::string(name) + " is no tuple");
  return nb::borrow<nb::tuple>(value);
}

// Whether any of the first `m` elements of a lies among the first `n` of b.
template <class A, class B> bool overlap(const A* a, long m, const B* b, long n) {
  const auto at = [](const auto* p) { return reinterpret_cast<uintptr_t>(p); };
  return at(a) < at(b + n) && at(b) < at(a + m);
}

// The arrays of one call: of the right size, alive until the call is over (an object may make a fresh array each time it is
// asked for one), and those that are written apart from all others.
class CallArrays {
  struct Range {
    const char *begin, *end, *name;
    bool written;
  };
  std::vector<Range> ranges_;
  std::vector<nb::ndarray<>> held_;

 public:
  template <class A> auto* operator()(const A& array, long size, const char* name) {
    auto* p = of_size(array, size, name);
    const char* begin = reinterpret_cast<const char*>(p);
    ranges_.push_back({begin, begin + array.nbytes(), name, !std::is_const_v<std::remove_pointer_t<decltype(p)>>});
    held_.emplace_back(nb::ndarray<>(array));
    return p;
  }
  template <class A> auto operator()(const Maybe<A>& array, long size, const char* name) -> decltype(array->data()) {
    return array ? (*this)(*array, size, name) : nullptr;
  }
  void refuse_overlaps() const {
    for (const Range& a : ranges_)
      if (a.written)
        for (const Range& b : ranges_)
          if (&a != &b && a.begin < b.end && b.begin < a.end) throw std::invalid_argument(std::string(a.name) + " overlaps " + b.name);
  }
};

}  // namespace backtime
