// The gradient of a weight: a product over all rows, summed over them.
#pragma once
#include "paired.hpp"
#include "product.hpp"

namespace backtime::BT_ISA {

// Rows of the left factor of a weight gradient: for h_{t-1} h0 comes first, then y.
template <class T> struct Rows {
  const T *first, *rest;  // rows [0, B), and the others, one every ld elements
  long B, N, ld;
  const T* at(long r) const { return r < B ? first + r * N : rest + (r - B) * ld; }
};

// dW = dz^T x, as panels (nb, N, G, L), for columns [n0, n1) of x. The columns of x in a chunk of rows are copied
// side by side; a panel of dz is read from cache. Of a last block at most half full two gates share a vector of sums.
template <class Slot, int G, int S, class T> class WeightGradient {
  static constexpr int L = LANES<T>;
  static constexpr int P = G == 1 ? 4 : 1;                   // blocks in a tile
  static constexpr int U = MAX_ACCUMULATORS / (P * G);       // columns of x in a tile
  static constexpr long CHUNK = ROW_CHUNK;
 public:
  static constexpr long grain = U;
  const T* dz;
  Rows<T> x;
  T* panels;
  long R, H;

  // Elements of a scratch buffer that the members share: each uses it from its first column times CHUNK on.
  static size_t scratch(long columns) { return static_cast<size_t>((columns + U - 1) / U * U * CHUNK); }
  // `scratch` is this member's part of the buffer. `fresh`: panels are written; else added to.
  void run(long n0, long n1, T* scratch, bool fresh = true) const {
    const long nb = blocks_of<T>(H), single = nb - (G > 1 && half_full<T>(H));
    for (long r0 = 0; r0 < R; r0 += CHUNK) {
      const long rows = R - r0 < CHUNK ? R - r0 : CHUNK;
      copy_columns(r0, rows, n0, n1, scratch);
      for (long b = 0; b < single;) {
        if (single - b >= P) columns<P>(b, r0, rows, n0, n1, scratch, fresh && !r0), b += P;
        else columns<1>(b, r0, rows, n0, n1, scratch, fresh && !r0), b++;
      }
      if constexpr (G > 1)
        if (single < nb) columns<1, true>(single, r0, rows, n0, n1, scratch, fresh && !r0);
    }
  }

 private:
  void copy_columns(long r0, long rows, long n0, long n1, T* to) const {
    for (long r = 0; r < rows; r++) {
      const T* from = x.at(r0 + r);
      T* place = to + r * U;
      long n = n0;
      for (; n + U <= n1; n += U, place += CHUNK * U) std::memcpy(place, from + n, U * sizeof(T));
      for (long u = 0; n < n1 && u < U; u++) place[u] = n + u < n1 ? from[n + u] : T(0);
    }
  }
  template <int Q, bool paired = false>
  void columns(long b, long r0, long rows, long n0, long n1, const T* scratch, bool fresh) const {
    for (long n = n0; n < n1; n += U, scratch += CHUNK * U) tile<Q, paired>(b, r0, rows, n, n1, scratch, fresh);
  }
  template <int Q, bool paired> BT_INLINE void tile(long b, long r0, long rows, long n, long n1, const T* xs, bool fresh) const {
    constexpr int N = paired ? (G + 1) / 2 : G;
    Vec<T> sum[U][Q][N];
    const long wide = n1 - n < U ? n1 - n : U;
    for (int u = 0; u < U; u++)
      for (int q = 0; q < Q; q++)
        for (int i = 0; i < N; i++) sum[u][q][i] = Vec<T>{};
    const T* z = dz + (b * R + r0) * S * L;
    for (long r = 0; r < rows; r++, z += S * L, xs += U) {
      Vec<T> xu[U];
#pragma GCC unroll 8
      for (int u = 0; u < U; u++) xu[u] = broadcast(xs[u]);
#pragma GCC unroll 4
      for (int q = 0; q < Q; q++)
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) {
          const Vec<T> v = factor<paired>(z + q * R * S * L, i);
#pragma GCC unroll 8
          for (int u = 0; u < U; u++) sum[u][q][i] = fma<T>(xu[u], v, sum[u][q][i]);
        }
    }
    for (int u = 0; u < wide; u++)
      for (int q = 0; q < Q; q++)
        for (int g = 0; g < G; g++) {
          const Vec<T> of_gate = paired ? half<T>(sum[u][q][g / 2], g % 2) : sum[u][q][g];
          T* total = place(b + q, n + u, g);
          store(total, fresh ? of_gate : load(total) + of_gate);
        }
  }
  // dz of gate i, or of gates 2i and 2i + 1.
  template <bool paired> static BT_INLINE Vec<T> factor(const T* z, int i) {
    if constexpr (!paired) return load(z + Slot::of(i) * L);
    const Vec<T> low = load(z + Slot::of(2 * i) * L);
    return 2 * i + 1 < G ? join_halves<T, 0>(low, load(z + Slot::of(2 * i + 1) * L)) : low;
  }
  T* place(long b, long n, int g) const;
};
template <class Slot, int G, int S, class T>
BT_INLINE T* WeightGradient<Slot, G, S, T>::place(long b, long n, int g) const {
  return panels + ((b * x.N + n) * G + g) * L;
}

}  // namespace backtime::BT_ISA
