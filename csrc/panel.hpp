// Layouts: how weights and rows lie in memory while the kernels work on them. L lanes make a block of hidden units;
// nb = ceil(H / L) blocks; lanes beyond H are zero.
//
//   weight panels   (nb, K, G, L)   for x W^T: for each k one vector of every gate; the last block may be paired (paired.hpp);
//                                   four gates with 16 registers: (nb, 2, K, 2, L), a strip for each half of them (tile.hpp)
//   transposed      (nc, nb*G*L, L) for dz W: nc blocks of columns; k runs over (block, gate, lane)
//   gate rows       (nb, R, S, L)   activated gates and dz: S vectors a row and block
//   cell rows       (nb, R, L)
#pragma once
#include "calls.hpp"
#include "simd.hpp"
#include "threads/team.hpp"

namespace backtime::BT_ISA {

template <class T> constexpr long blocks_of(long n) { return (n + LANES<T> - 1) / LANES<T>; }
template <class T> BT_INLINE int lanes_in(long block, long n) {  // how many lanes of this block are real
  const long left = n - block * LANES<T>;
  return left < LANES<T> ? static_cast<int>(left) : LANES<T>;
}

// A weight panel of V vectors is V / STRIP strips, one after the other: each has STRIP vectors side by side for each k.
template <int V> constexpr int STRIP = BT_REGISTERS == 16 && V == 4 ? 2 : V;
// Where vector v of k = 0 begins in a panel of K.
template <class T, int V> constexpr long vector_at(int v, long K) {
  constexpr long N = STRIP<V>, L = LANES<T>;
  return (v / N * K * N + v % N) * L;
}

// Transposes L vectors of L lanes in registers: log2(L) rounds of swaps of square blocks.
template <class T, int D = LANES<T> / 2> BT_INLINE void transpose(Vec<T>* v) {
  constexpr int L = LANES<T>;
  VecInt<T> low, high;
  for (int j = 0; j < L; j++) {
    low[j] = (j & D) ? L + j - D : j;
    high[j] = (j & D) ? L + j : j + D;
  }
#pragma GCC unroll 16
  for (int i = 0; i < L; i++) {
    if (i & D) continue;
    const Vec<T> a = v[i], b = v[i + D];
    v[i] = __builtin_shuffle(a, b, low);
    v[i + D] = __builtin_shuffle(a, b, high);
  }
  if constexpr (D > 1) transpose<T, D / 2>(v);
}

// For each of `wide` columns from k on one vector: lane i is that of rows[i], or zero where there is none; `stride` apart.
// `whole`: no row is missing, and wide = L.
template <bool whole, class T> BT_INLINE void pack_square(const T* const (&rows)[LANES<T>], long k, int wide, T* to, long stride) {
  constexpr int L = LANES<T>;
  Vec<T> v[L];
#pragma GCC unroll 16
  for (int i = 0; i < L; i++) v[i] = whole ? load(rows[i] + k) : rows[i] ? load_n(rows[i] + k, wide) : Vec<T>{};
  transpose<T>(v);
#pragma GCC unroll 16
  for (int i = 0; i < L; i++)
    if (whole || i < wide) store(to + i * stride, v[i]);
}
// For all K columns.
template <class T> void pack_rows(const T* const (&rows)[LANES<T>], long K, T* to, long stride) {
  constexpr int L = LANES<T>;
  bool full = true;
  for (int i = 0; i < L; i++) full &= rows[i] != nullptr;
  const long whole = full ? K / L * L : 0;
  for (long k = 0; k < whole; k += L) pack_square<true>(rows, k, L, to + k * stride, stride);
  for (long k = whole; k < K; k += L) pack_square<false>(rows, k, lanes_in<T>(k / L, K), to + k * stride, stride);
}

// Weight panels of blocks [b0, b1) of W (G*H, K).
template <class T, int G> void pack_panels(const T* W, long H, long K, T* panels, long b0, long b1) {
  constexpr int L = LANES<T>;
  for (long b = b0; b < b1; b++)
    for (int g = 0; g < G; g++) {
      const T* rows[L];
      for (int i = 0; i < L; i++) rows[i] = i < lanes_in<T>(b, H) ? W + (g * H + b * L + i) * K : nullptr;
      pack_rows<T>(rows, K, panels + b * K * G * L + vector_at<T, G>(g, K), STRIP<G> * L);
    }
}

// The way back, for gradients: panels (nb, K, G, L) of blocks [b0, b1) to W (G*H, K). Vector g of the panels is gate g.
template <class T, int G> void unpack_panels(const T* panels, long H, long K, T* W, long b0, long b1) {
  constexpr int L = LANES<T>;
  for (long b = b0; b < b1; b++)
    for (int g = 0; g < G; g++) {
      const int lanes = lanes_in<T>(b, H);
      const T* from = panels + b * K * G * L + g * L;
      T* to = W + (g * H + b * L) * K;
      for (long k = 0; k < K; k += L) {
        const int wide = lanes_in<T>(k / L, K);
        Vec<T> v[L];
        for (int i = 0; i < L; i++) v[i] = i < wide ? load(from + (k + i) * G * L) : Vec<T>{};
        transpose<T>(v);
        for (int i = 0; i < lanes; i++) store_n(to + i * K + k, v[i], wide);
      }
    }
}

// Transposed panels of column blocks [c0, c1) of W (G*H, N): rows of W, a block of columns at a time.
template <class T, int G> void pack_transposed(const T* W, long H, long N, T* panels, long c0, long c1) {
  constexpr int L = LANES<T>;
  const long nb = blocks_of<T>(H), K = nb * G * L;
  for (long c = c0; c < c1; c++)
    for (long b = 0; b < nb; b++)
      for (int g = 0; g < G; g++) {
        const T* from = W + (g * H + b * L) * N + c * L;
        T* to = panels + (c * K + (b * G + g) * L) * L;
        const int lanes = lanes_in<T>(b, H), wide = lanes_in<T>(c, N);
        for (int i = 0; i < lanes; i++) store(to + i * L, load_n(from + i * N, wide));
      }
}

// A vector of n numbers as blocks, or zeros when there is none.
template <class T> BT_INLINE Vec<T> block_or_zero(const T* p, long block, long n) {
  return p ? load_n(p + block * LANES<T>, lanes_in<T>(block, n)) : Vec<T>{};
}

}  // namespace backtime::BT_ISA
