// The products that are no part of a time loop: over all rows at once.
#pragma once
#include "panel.hpp"
#include "pool.hpp"
#include "tile.hpp"

namespace backtime::BT_ISA {

// Adds dz W to a tile: dz lies as gate rows (nb, R, S, L), of which Slot picks G vectors; `panels` is W transposed. The rows
// of a block lie far from those of the block before: where dz is not in cache yet, they are fetched one block ahead.
template <class Slot, int G, int S, bool ahead = false, class T, int M, int P>
BT_INLINE void multiply_gates(Tile<T, M, P, 1>& tile, const T* dz, long R, long row, long H, const T* panels, long column) {
  constexpr int L = LANES<T>;
  const long nb = blocks_of<T>(H), stride = nb * G * L * L;
  const T* w = panels + column * stride;
  for (long b = 0; b < nb; b++) {
    if (ahead && b + 1 < nb)
      for (int i = 0; i < M * S; i++) __builtin_prefetch(dz + (((b + 1) * R + row) * S + i) * L);
    for (int g = 0; g < G; g++, w += L * L)
      multiply<Straight, 1>(tile, dz + ((b * R + row) * S + Slot::of(g)) * L, S * L, w, stride, lanes_in<T>(b, H));
  }
}

// out (R, N) = dz W, for the rows given to for_tiles.
template <class Slot, int G, int S, class T> struct GatesProduct {
  const T *dz, *panels;
  T* out;
  long R, H, N;
  template <int M, int P> void tile(long row, long column) {
    Tile<T, M, P, 1> t{};
    multiply_gates<Slot, G, S, true>(t, dz, R, row, H, panels, column);
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++)
        store_n(out + (row + m) * N + (column + p) * LANES<T>, t.z[m][p][0], lanes_in<T>(column + p, N));
  }
};

// Rows of the left factor of a weight gradient: for h_{t-1} h0 comes first, then y.
template <class T> struct Rows {
  const T *first, *rest;  // rows [0, B), and the others, one every ld elements
  long B, N, ld;
  const T* at(long r) const { return r < B ? first + r * N : rest + (r - B) * ld; }
};

// Rows that a sum over rows takes in one chain from zero; the sums of the chunks are added in rising order. A single
// chain over thousands of rows would lose digits.
constexpr long ROW_CHUNK = 256, BIAS_CHUNK = 32;

// dW = dz^T x, as panels (nb, N, G, L), for columns [n0, n1) of x. The columns of x in a chunk of rows are copied
// side by side; a panel of dz is read from cache.
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
    const long nb = blocks_of<T>(H);
    for (long r0 = 0; r0 < R; r0 += CHUNK) {
      const long rows = R - r0 < CHUNK ? R - r0 : CHUNK;
      copy_columns(r0, rows, n0, n1, scratch);
      for (long b = 0; b < nb;) {
        if (nb - b >= P) columns<P>(b, r0, rows, n0, n1, scratch, fresh && !r0), b += P;
        else columns<1>(b, r0, rows, n0, n1, scratch, fresh && !r0), b++;
      }
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
  template <int Q> void columns(long b, long r0, long rows, long n0, long n1, const T* scratch, bool fresh) const {
    for (long n = n0; n < n1; n += U, scratch += CHUNK * U) tile<Q>(b, r0, rows, n, n1, scratch, fresh);
  }
  template <int Q> BT_INLINE void tile(long b, long r0, long rows, long n, long n1, const T* xs, bool fresh) const {
    Vec<T> sum[U][Q][G];
    const long wide = n1 - n < U ? n1 - n : U;
    for (int u = 0; u < U; u++)
      for (int q = 0; q < Q; q++)
        for (int g = 0; g < G; g++) sum[u][q][g] = Vec<T>{};
    const T* z = dz + (b * R + r0) * S * L;
    for (long r = 0; r < rows; r++, z += S * L, xs += U) {
      Vec<T> xu[U];
#pragma GCC unroll 8
      for (int u = 0; u < U; u++) xu[u] = broadcast(xs[u]);
#pragma GCC unroll 4
      for (int q = 0; q < Q; q++)
#pragma GCC unroll 4
        for (int g = 0; g < G; g++) {
          const Vec<T> v = load(z + q * R * S * L + Slot::of(g) * L);
#pragma GCC unroll 8
          for (int u = 0; u < U; u++) sum[u][q][g] = fma<T>(xu[u], v, sum[u][q][g]);
        }
    }
    for (int u = 0; u < wide; u++)
      for (int q = 0; q < Q; q++)
        for (int g = 0; g < G; g++) {
          T* total = place(b + q, n + u, g);
          store(total, fresh ? sum[u][q][g] : load(total) + sum[u][q][g]);
        }
  }
  T* place(long b, long n, int g) const;
};
template <class Slot, int G, int S, class T>
BT_INLINE T* WeightGradient<Slot, G, S, T>::place(long b, long n, int g) const {
  return panels + ((b * x.N + n) * G + g) * L;
}

// Sums over the rows for blocks [b0, b1), in shorter chunks: of dz (the biases), or of dz times `by` (nb, R, G, L), the gains
// of layer norm.
template <class Slot, int G, int S, bool times, class T>
void sum_rows(const T* dz, const T* by, long R, long H, T* sums, long b0, long b1, bool fresh) {
  constexpr int L = LANES<T>;
  for (long b = b0; b < b1; b++) {
    Vec<T> total[G];
    for (int g = 0; g < G; g++) total[g] = block_or_zero(fresh ? nullptr : sums + g * H, b, H);
    for (long r = 0; r < R;) {
      Vec<T> sum[G]{};
      for (const long end = r + BIAS_CHUNK < R ? r + BIAS_CHUNK : R; r < end; r++)
        for (int g = 0; g < G; g++) {
          const Vec<T> d = load(dz + ((b * R + r) * S + Slot::of(g)) * L);
          sum[g] = times ? fma<T>(d, load(by + ((b * R + r) * G + g) * L), sum[g]) : sum[g] + d;
        }
      for (int g = 0; g < G; g++) total[g] += sum[g];
    }
    for (int g = 0; g < G; g++) store_n(sums + g * H + b * L, total[g], lanes_in<T>(b, H));
  }
}
template <class Slot, int G, int S, class T>
void bias_gradient(const T* dz, long R, long H, T* db, long b0, long b1, bool fresh = true) {
  sum_rows<Slot, G, S, false>(dz, static_cast<const T*>(nullptr), R, H, db, b0, b1, fresh);
}
template <class Slot, int G, int S, class T>
void gain_gradient(const T* dz, const T* normalised, long R, long H, T* dg, long b0, long b1) {
  sum_rows<Slot, G, S, true>(dz, normalised, R, H, dg, b0, b1, true);
}

// One-hot input: row r of dz belongs to column tokens[r]. Panels of blocks [b0, b1), zeroed here.
template <class Slot, int G, int S, class T>
void scatter_gradient(const T* dz, const int64_t* tokens, long R, long I, T* panels, long b0, long b1) {
  constexpr int L = LANES<T>;
  std::memset(panels + b0 * I * G * L, 0, (b1 - b0) * I * G * L * sizeof(T));
  for (long b = b0; b < b1; b++)
    for (long r = 0; r < R; r++)
      for (int g = 0; g < G; g++) {
        T* sum = panels + ((b * I + tokens[r]) * G + g) * L;
        store(sum, load(sum) + load(dz + ((b * R + r) * S + Slot::of(g)) * L));
      }
}

}  // namespace backtime::BT_ISA
