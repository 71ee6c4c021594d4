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

// dW = dz^T x, as panels (nb, N, G, L), for columns [n0, n1) of x, a chunk of rows at a time.
//
// A tile is V vectors of dz by U columns of x, 7 loads for 12 multiply-adds with 16 registers and 11 for 24 with 32. The columns
// are copied side by side, and so are the vectors where they would not stay in a first cache as they lie: those of a chunk then
// take 24 of 32 KB on AVX2, and stay there while the columns pass by. On AVX-512 they do not fit either way. Without gates the
// blocks' rows are often whole pages apart, and push each other out. Of a last block at most half full two gates share a vector.
template <class Slot, int G, int S, class T> class WeightGradient {
  static constexpr int L = LANES<T>;
  static constexpr int V = 3, U = MAX_ACCUMULATORS / V;
  static constexpr long CHUNK = ROW_CHUNK, COLUMNS = CHUNK * U;  // COLUMNS: elements of U copied columns

 public:
  static constexpr long grain = U;
  const T* dz;
  Rows<T> x;
  T* panels;
  long R, H;

  // Elements of a scratch buffer that the members share: each uses it from its first column times CHUNK on.
  static size_t scratch(long columns) { return static_cast<size_t>((columns + U - 1) / U * COLUMNS); }
  // `scratch` is this member's part of the buffer. `fresh`: panels are written; else added to.
  void run(long n0, long n1, T* scratch, bool fresh = true) const {
    const long single = blocks_of<T>(H) - (G > 1 && half_full<T>(H));
    for (long r0 = 0; r0 < R; r0 += CHUNK) {
      const Chunk chunk{r0, R - r0 < CHUNK ? R - r0 : CHUNK, n0, n1, fresh && !r0};
      copy_columns(chunk, scratch);
      all_vectors<false>(chunk, single * G, scratch);
      if constexpr (G > 1)
        if (single < blocks_of<T>(H)) all_vectors<true>(chunk, (G + 1) / 2, scratch);
    }
  }

 private:
  struct Chunk {
    long r0, rows, n0, n1;  // rows of dz and x; columns of x
    bool fresh;
  };

  // Some rows at a time, so that what is read and what is written stay in the first cache.
  void copy_columns(const Chunk& c, T* to) const {
    constexpr long SOME = 8;
    for (long r = 0; r < c.rows; r += SOME) {
      const long rows = c.rows - r < SOME ? c.rows - r : SOME;
      const T* from[SOME];
      for (long i = 0; i < rows; i++) from[i] = x.at(c.r0 + r + i);
      T* place = to + r * U;
      for (long n = c.n0; n < c.n1; n += U, place += COLUMNS)
        for (long i = 0; i < rows; i++) {
          if (n + U <= c.n1) std::memcpy(place + i * U, from[i] + n, U * sizeof(T));
          else
            for (long u = 0; u < U; u++) place[i * U + u] = n + u < c.n1 ? from[i][n + u] : T(0);
        }
    }
  }

  // The first `end` vectors, counted through blocks and gates, or, paired, through the last block.
  template <bool paired> void all_vectors(const Chunk& c, long end, const T* columns) const {
    long v = 0;
    for (; v + V <= end; v += V) vectors<V, paired>(c, v, columns);
    for (; v < end; v++) vectors<1, paired>(c, v, columns);
  }
  // Q vectors from v on by all columns. The first tile takes them from where they lie and copies them for the others.
  template <int Q, bool paired> void vectors(const Chunk& c, long v, const T* columns) const {
    constexpr bool copied = paired || S == 1 || BT_REGISTERS == 16;
    alignas(64) T copies[copied ? CHUNK * Q * L : 1];
    T* const copy = copies;
    const T *low[Q], *high[Q];  // `high`: of the second gate that shares the vector, or null
    for (int q = 0; q < Q; q++) {
      const long b = paired ? blocks_of<T>(H) - 1 : (v + q) / G, g = paired ? 2 * (v + q) : (v + q) % G;
      low[q] = gate(c, b, g), high[q] = paired && g + 1 < G ? gate(c, b, g + 1) : nullptr;
    }
    const auto first = [=](long r, int q) __attribute__((always_inline)) {
      Vec<T> z = load(low[q] + r * S * L);
      if constexpr (paired)
        if (high[q]) z = join_halves<T, 0>(z, load(high[q] + r * S * L));
      if constexpr (copied) store(copy + (r * Q + q) * L, z);
      return z;
    };
    const auto other = [=](long r, int q)
                           __attribute__((always_inline)) { return load(copied ? copy + (r * Q + q) * L : low[q] + r * S * L); };
    for (long n = c.n0; n < c.n1; n += U, columns += COLUMNS) {
      Vec<T> sum[U][Q];
      if (n == c.n0) sum_products(c.rows, columns, first, sum);
      else sum_products(c.rows, columns, other, sum);
      for (long u = 0; u < U && n + u < c.n1; u++)
        for (int q = 0; q < Q; q++) put<paired>(v + q, n + u, sum[u][q], c.fresh);
    }
  }
  const T* gate(const Chunk& c, long b, long g) const { return dz + (b * R + c.r0) * S * L + Slot::of(static_cast<int>(g)) * L; }

  // A function of its own: among others the compiler would not keep its sums in registers. z(r, q): vector q of row r. The sums
  // are written back one by one: of a memcpy the compiler makes a `rep movs`.
  template <int Q, class Z> static BT_NOINLINE void sum_products(long rows, const T* columns, Z z, Vec<T> (&to)[U][Q]) {
    Tile<T, U, Q, 1> sum;
    sum.clear();
    for (long r = 0; r < rows; r++, columns += U) {
      Vec<T> zr[Q];
#pragma GCC unroll 4
      for (int q = 0; q < Q; q++) zr[q] = z(r, q);
#pragma GCC unroll 12
      for (int u = 0; u < U; u++) {
        const Vec<T> x_u = broadcast(columns[u]);
#pragma GCC unroll 4
        for (int q = 0; q < Q; q++) sum.z[u][q][0] = fma<T>(x_u, zr[q], sum.z[u][q][0]);
      }
    }
#pragma GCC unroll 12
    for (int u = 0; u < U; u++)
#pragma GCC unroll 4
      for (int q = 0; q < Q; q++) to[u][q] = sum.z[u][q][0];
  }

  template <bool paired> void put(long v, long n, Vec<T> sum, bool fresh) const {
    if constexpr (paired) {
      for (int i = 0; i < 2 && 2 * v + i < G; i++) add(blocks_of<T>(H) - 1, n, 2 * v + i, half<T>(sum, i), fresh);
    } else {
      add(v / G, n, v % G, sum, fresh);
    }
  }
  void add(long b, long n, long g, Vec<T> sum, bool fresh) const {
    T* total = panels + ((b * x.N + n) * G + g) * L;
    store(total, fresh ? sum : load(total) + sum);
  }
};

}  // namespace backtime::BT_ISA
