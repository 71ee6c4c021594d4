// Where layer norm keeps its normalised rows and their scales.
#pragma once
#include "panel.hpp"

namespace backtime::BT_ISA {

template <class T> constexpr T LAYER_NORM_EPSILON = T(1e-5);

// The numbers of one row, `n` vectors in each block, `stride` elements from block to block, become (x - mean) / deviation,
// lanes beyond H zero; returns 1 / deviation. Two passes; lane by lane over the blocks, then over the lanes: one fixed order.
template <class T> T normalise(T* row, long stride, int n, long H) {
  constexpr int L = LANES<T>;
  const long nb = blocks_of<T>(H);
  Vec<T> sum{}, squares{};
  for (long b = 0; b < nb; b++)
    for (int i = 0; i < n; i++) sum += load(row + b * stride + i * L);
  const Vec<T> mean = broadcast<T>(sum_lanes<T>(sum) / static_cast<T>(n * H));
  for (long b = 0; b < nb; b++)
    for (int i = 0; i < n; i++) {
      T* place = row + b * stride + i * L;
      Vec<T> x = load(place) - mean;
      if (const int lanes = lanes_in<T>(b, H); lanes < L)
        for (int lane = lanes; lane < L; lane++) x[lane] = 0;
      store(place, x);
      squares = fma<T>(x, x, squares);
    }
  const T scale = T(1) / __builtin_sqrt(sum_lanes<T>(squares) / static_cast<T>(n * H) + LAYER_NORM_EPSILON<T>);
  for (long b = 0; b < nb; b++)
    for (int i = 0; i < n; i++) store(row + b * stride + i * L, load(row + b * stride + i * L) * broadcast(scale));
  return scale;
}

// The way back, in place: d holds dE/dx^ and becomes dE/dx, for x^ and scale as `normalise` left them:
// dx = scale (dx^ - mean(dx^) - x^ mean(dx^ x^)).
template <class T> void normalise_backward(T* d, long d_stride, const T* x, long x_stride, int n, long H, T scale) {
  constexpr int L = LANES<T>;
  const long nb = blocks_of<T>(H);
  Vec<T> sum{}, products{};
  for (long b = 0; b < nb; b++)
    for (int i = 0; i < n; i++) {
      const Vec<T> v = load(d + b * d_stride + i * L);
      sum += v, products = fma<T>(v, load(x + b * x_stride + i * L), products);
    }
  const Vec<T> mean = broadcast<T>(sum_lanes<T>(sum) / static_cast<T>(n * H));
  const Vec<T> slope = broadcast<T>(sum_lanes<T>(products) / static_cast<T>(n * H)), by = broadcast(scale);
  for (long b = 0; b < nb; b++)
    for (int i = 0; i < n; i++) {
      T* place = d + b * d_stride + i * L;
      store(place, (load(place) - mean - load(x + b * x_stride + i * L) * slope) * by);
    }
}

template <class T, class Cell> struct NormRows {
  static constexpr int L = LANES<T>, G = Cell::G;
  T *x = nullptr, *h = nullptr, *c = nullptr;     // normalised: (nb, x_rows, G, L), (nb, h_rows, G, L), (nb, h_rows, L)
  T *x_scale = nullptr, *h_scale = nullptr, *c_scale = nullptr;  // of each row
  long x_rows = 0, h_rows = 0, H = 0;

  static long length(const Sizes& s, long x_rows, long h_rows) {
    const long width = blocks_of<T>(s.H) * L;
    return x_rows * (width * G + 1) + h_rows * (width * (G + Cell::has_cell) + 2);
  }
  NormRows() = default;
  NormRows(T* buffer, const Sizes& s, long x_rows, long h_rows) : x_rows(x_rows), h_rows(h_rows), H(s.H) {
    if (!buffer) return;
    const long width = blocks_of<T>(H) * L;
    x = buffer, h = x + x_rows * width * G, c = h + h_rows * width * G;
    x_scale = c + (Cell::has_cell ? h_rows * width : 0), h_scale = x_scale + x_rows, c_scale = h_scale + h_rows;
  }
  T* input(long row, long block) const { return x + (block * x_rows + row) * G * L; }
  T* hidden(long row, long block) const { return h + (block * h_rows + row) * G * L; }
  T* cell(long row, long block) const { return c + (block * h_rows + row) * L; }

  void normalise_input(long gate_first, long begin, long end) const {
    for (long r = begin - gate_first; r < end - gate_first; r++) x_scale[r] = normalise(input(r, 0), x_rows * G * L, G, H);
  }
  void normalise_hidden(long r) const { h_scale[r] = normalise(hidden(r, 0), h_rows * G * L, G, H); }
  void normalise_cell(long r) const { c_scale[r] = normalise(cell(r, 0), h_rows * L, 1, H); }
};

}  // namespace backtime::BT_ISA
