// Layers, one upon the other and each in one direction or in both: what a forward call keeps, and what both passes need.
//
// Layers of D directions; K of them in all: layer 0, its reverse, layer 1. R rows: one for each step of each sequence.
#pragma once
#include "network_weights.hpp"

namespace backtime {

template <class T> struct SavedDirection {  // what one direction of one layer keeps for backward
  Sizes sizes;
  Form form;
  Buffer<T> h0, c0, gates, cells, inner, norm;
  Buffer<uint8_t> cut;
  Kept<T> kept() const { return {gates.data(), cells.data(), inner.data(), norm.data()}; }
};
template <class T> struct SavedLayer {
  std::vector<SavedDirection<T>> directions;
  Buffer<T> input, output;             // copies, where there are
  const T *x = nullptr, *y = nullptr;  // (R, I) and (R, D P); null where they are the caller's x and y, to be given again
};
template <class T> struct SavedNetwork {
  explicit SavedNetwork(Layout&& of_call) : layout(std::move(of_call)) {}
  Layout layout;
  Buffer<int64_t> tokens;  // integer input, where it had to be copied
  std::vector<SavedLayer<T>> layers;
  bool sums = false;  // the two directions of a layer are added
  bool used_up = false;
};

// Integer input as columns of the first Wx: the caller's where they lie as rows do, else a copy.
inline const int64_t* columns_of(const Tensor& x, const Layout& layout, long limit, Buffer<int64_t>& copy) {
  const long R = layout.rows();
  const int64_t* columns = nullptr;
  if (x.holds<int64_t>() && layout.lies_in_rows(x, 1)) {
    columns = x.data<int64_t>();
  } else {
    copy = Buffer<int64_t>(R);
    if (x.holds<int64_t>()) layout.into_rows<int64_t>(x, 1, copy.data());
    else if (x.holds<int32_t>()) layout.into_rows<int32_t>(x, 1, copy.data());
    else if (x.holds<int16_t>()) layout.into_rows<int16_t>(x, 1, copy.data());
    else if (x.holds<int8_t>()) layout.into_rows<int8_t>(x, 1, copy.data());
    else layout.into_rows<uint8_t>(x, 1, copy.data());
    columns = copy.data();
  }
  for (long r = 0; r < R; r++)
    if (columns[r] < 0 || columns[r] >= limit)
      x.refuse("holds " + std::to_string(columns[r]) + "; expected 0 to " + std::to_string(limit - 1));
  return columns;
}
// A tensor with N features as rows: itself where it lies so, else a copy.
template <class T> const T* rows_of(const Tensor& x, const Layout& layout, long N, Buffer<T>& copy) {
  if (layout.lies_in_rows(x, N)) return x.data<T>();
  copy = Buffer<T>(layout.rows() * N);
  layout.into_rows<T>(x, N, copy.data());
  return copy.data();
}
// What multiplies the output of each layer but the last, (R, width) each: dropout. Null for nothing.
template <class T> std::vector<const T*> masks_of(const nb::tuple& given, size_t layers, long size) {
  std::vector<const T*> masks(layers, nullptr);
  if (given.size() == 0) return masks;
  if (given.size() + 1 != layers) throw std::invalid_argument("masks must be one fewer than layers");
  for (size_t l = 0; l + 1 < layers; l++) masks[l] = lying_as_rows<T>(given[l], size, "mask");
  return masks;
}

template <class F> void parallel_elements(long n, F&& f) {
  parallel(n < 100000 ? 1 : team_size(), static_cast<double>(n), [&](const Member& me) {
    long first, last;
    me.share(n, 64, first, last);
    f(first, last);
  });
}
// to = a b, element by element; `to` may be a.
template <class T> void multiply(const T* a, const T* b, T* to, long n) {
  parallel_elements(n, [&](long first, long last) {
    for (long i = first; i < last; i++) to[i] = a[i] * b[i];
  });
}
// to (R, P) = the halves of from (R, 2P), added.
template <class T> void add_halves(const T* from, T* to, long R, long P) {
  parallel_elements(R, [&](long first, long last) {
    for (long r = first; r < last; r++)
      for (long n = 0; n < P; n++) to[r * P + n] = from[r * 2 * P + n] + from[r * 2 * P + P + n];
  });
}

}  // namespace backtime
