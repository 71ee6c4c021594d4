// Register tiles: M rows x P blocks x S vectors stay in registers through the whole sum over k.
//
// A block is one vector of hidden units. Every output element is one chain of fused multiply-adds over k in rising
// order, whatever M and P are: that is why a result does not depend on the batch around it.
#pragma once
#include "simd.hpp"

namespace backtime::BT_ISA {

constexpr int MAX_ACCUMULATORS = BT_REGISTERS == 32 ? 24 : 12;
// Enough to hide the latency of an addition while the weights come from the second cache, at some 32 bytes a cycle.
constexpr int FEW_ACCUMULATORS = BT_VECTOR_BYTES >= 32 ? 256 / BT_VECTOR_BYTES : MAX_ACCUMULATORS;
constexpr int MAX_ROWS = BT_REGISTERS == 32 ? 6 : 3;

template <class T, int M, int P, int S> struct Tile {
  Vec<T> z[M][P][S];
};

// Adds a (M rows, stride lda) times the panels of P blocks: panel p starts at w + p * stride and holds, for each k,
// G vectors. Slot::of(g) says which accumulator the vector g goes to.
template <class Slot, int G, class T, int M, int P, int S>
BT_INLINE void multiply(Tile<T, M, P, S>& tile, const T* a, long lda, const T* w, long stride, long K) {
  for (long k = 0; k < K; k++, w += G * LANES<T>) {
    Vec<T> am[M];  // all rows' factors first, then one weight vector at a time: M*P*S + M + 1 registers
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) am[m] = broadcast(a[m * lda + k]);
#pragma GCC unroll 8
    for (int p = 0; p < P; p++)
#pragma GCC unroll 4
      for (int g = 0; g < G; g++) {
        const Vec<T> v = load(w + p * stride + g * LANES<T>);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) tile.z[m][p][Slot::of(g)] = fma<T>(am[m], v, tile.z[m][p][Slot::of(g)]);
      }
  }
}

struct Straight {  // vector g of the weights belongs to accumulator g
  static constexpr int of(int g) { return g; }
};

// Blocks that a tile of M rows with S vectors a block takes at once: a power of two with so many sums at most.
template <int S> constexpr int blocks_for(int M, int sums) {
  int P = 8;
  while (P > 1 && M * P * S > sums) P /= 2;
  return P;
}

// A function of its own for each size of tile: among others the compiler would not keep its sums in registers.
template <int S, int M, int P, class F> BT_NOINLINE void visit(F& f, long row, long block) {
  if constexpr (M * P * S <= MAX_ACCUMULATORS || P == 1) f.template tile<M, P>(row, block);
}
template <int S, int P, class F> void visit_rows(F& f, int M, long row, long block) {
  switch (M) {
    case 1: return visit<S, 1, P>(f, row, block);
    case 2: return visit<S, 2, P>(f, row, block);
    case 3: return visit<S, 3, P>(f, row, block);
#if BT_REGISTERS == 32
    case 4: return visit<S, 4, P>(f, row, block);
    case 5: return visit<S, 5, P>(f, row, block);
    case 6: return visit<S, 6, P>(f, row, block);
#endif
  }
}

struct Sweep {  // how for_tiles goes through the blocks
  bool back = false;            // from the last to the first
  int sums = MAX_ACCUMULATORS;  // of a tile, at most
};

// Covers rows [r0, r1) x blocks [b0, b1) with calls f.tile<M, P>(row, block). Rows are dealt out evenly, so that no
// thin tile is left at the end; the blocks are the outer loop, so that a panel serves all rows while it is in cache.
template <int S, class F> void for_tiles(long r0, long r1, long b0, long b1, F& f, Sweep sweep = {}) {
  const long n = r1 - r0, tiles = (n + MAX_ROWS - 1) / MAX_ROWS;
  if (n <= 0) return;
  const long thin = n / tiles, thick = n % tiles;  // `thick` tiles have one row more
  const int most = blocks_for<S>(static_cast<int>(thin + (thick > 0)), sweep.sums);
  for (long left = b1 - b0; left > 0;) {
    int P = most;
    while (P > left) P /= 2;
    left -= P;
    const long block = sweep.back ? b0 + left : b1 - left - P;
    for (long i = 0, row = r0; i < tiles; i++) {
      const int M = static_cast<int>(thin + (i < thick));
      switch (P) {
        case 8: visit_rows<S, 8>(f, M, row, block); break;
        case 4: visit_rows<S, 4>(f, M, row, block); break;
        case 2: visit_rows<S, 2>(f, M, row, block); break;
        default: visit_rows<S, 1>(f, M, row, block);
      }
      row += M;
    }
  }
}

}  // namespace backtime::BT_ISA
