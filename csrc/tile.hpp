// Register tiles: M rows x J blocks x S vectors stay in registers through the whole sum over k.
//
// A block is one vector of hidden units. Every output element is one chain of fused multiply-adds over k in rising
// order, whatever M and J are: that is why a result does not depend on the batch around it.
#pragma once
#include "panel.hpp"

namespace backtime::BT_ISA {

constexpr int MAX_ACCUMULATORS = BT_REGISTERS == 32 ? 24 : 12;
// Enough to hide the latency of an addition while the weights come from the second cache, at some 32 bytes a cycle.
constexpr int FEW_ACCUMULATORS = BT_VECTOR_BYTES >= 32 ? 256 / BT_VECTOR_BYTES : MAX_ACCUMULATORS;
constexpr int MAX_ROWS = 6;
constexpr int AHEAD = 32;  // vectors: how far ahead of the loop the weights of a single block are fetched
constexpr int FEW_ROWS = BT_REGISTERS == 32 ? 6 : 3;  // a step of fewer waits for its weights

template <class T, int M, int J, int S> struct Tile {
  Vec<T> z[M][J][S];
  BT_INLINE void clear() {  // written out: of `{}` the compiler makes a `rep stos`, which takes dozens of cycles to begin
#pragma GCC unroll 12
    for (int m = 0; m < M; m++)
#pragma GCC unroll 8
      for (int j = 0; j < J; j++)
#pragma GCC unroll 4
        for (int g = 0; g < S; g++) z[m][j][g] = Vec<T>{};
  }
};

// The vectors from `first` to `past` of the panel at w, of a k to come, into the first cache: the processor itself fetches panels
// of more than a vector for each k too late from the second. Blocks side by side, of one vector each, it fetches in time, and with
// few rows a fetch costs more than it gains.
template <int G, int first, int past, class T> BT_INLINE void fetch_ahead(const T* w, long K) {
  constexpr int in_line = 64 / BT_VECTOR_BYTES;
#pragma GCC unroll 4
  for (int g = first; g < past; g += in_line) __builtin_prefetch(w + vector_at<T, G>(g, K) + AHEAD * LANES<T>);
}

// Adds a (M rows, stride lda) times the panels of J blocks: panel j starts at w + j * stride and holds, for each k,
// G vectors, of which those from `first` to `past` are taken. Slot::of(g) says which accumulator the vector g goes to.
// What there is fewer of, rows or vectors, is held in registers: M*J*S + min(M, vectors) + 1 of them.
template <class Slot, int G, int first = 0, int past = G, class T, int M, int J, int S>
BT_INLINE void multiply(Tile<T, M, J, S>& tile, const T* a, long lda, const T* w, long stride, long K) {
  constexpr int L = LANES<T>, V = STRIP<G>;
  for (long k = 0; k < K; k++, w += V * L) {
    if constexpr (J == 1 && M > 3) fetch_ahead<G, first, past>(w, K);
    if constexpr (BT_REGISTERS == 32 || M <= J * (past - first)) {
      Vec<T> am[M];
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) am[m] = broadcast(a[m * lda + k]);
#pragma GCC unroll 8
      for (int j = 0; j < J; j++)
#pragma GCC unroll 4
        for (int g = first; g < past; g++) {
          const Vec<T> v = load(w + j * stride + vector_at<T, G>(g, K));
#pragma GCC unroll 8
          for (int m = 0; m < M; m++) tile.z[m][j][Slot::of(g)] = fma<T>(am[m], v, tile.z[m][j][Slot::of(g)]);
        }
    } else {
      Vec<T> v[J][past - first];
#pragma GCC unroll 8
      for (int j = 0; j < J; j++)
#pragma GCC unroll 4
        for (int g = first; g < past; g++) v[j][g - first] = load(w + j * stride + vector_at<T, G>(g, K));
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        const Vec<T> am = broadcast(a[m * lda + k]);
#pragma GCC unroll 8
        for (int j = 0; j < J; j++)
#pragma GCC unroll 4
          for (int g = first; g < past; g++) tile.z[m][j][Slot::of(g)] = fma<T>(am, v[j][g - first], tile.z[m][j][Slot::of(g)]);
      }
    }
  }
}

struct Straight {  // vector g of the weights belongs to accumulator g
  static constexpr int of(int g) { return g; }
};

// Blocks that a tile of M rows with S vectors a block takes at once: a power of two with so many sums at most.
template <int S> constexpr int blocks_for(int M, int sums) {
  int J = 8;
  while (J > 1 && M * J * S > sums) J /= 2;
  return J;
}

// Of four vectors of weights a block, a tile of many rows takes two at a time: the compiler keeps in registers what it adds to.
template <int V> constexpr bool halves(int M, int J) { return BT_REGISTERS == 16 && V == 4 && J == 1 && M * V > MAX_ACCUMULATORS; }

// Whether there are tiles of M rows and J blocks, of S sums and V vectors of weights each.
template <int S, int V> constexpr bool fits(int M, int J) {
  if (J > 1) return M * J * S <= MAX_ACCUMULATORS;
  return BT_REGISTERS == 32 || M * V <= MAX_ACCUMULATORS || halves<V>(M, J);
}
// A function of its own for each size of tile: among others the compiler would not keep its sums in registers.
template <int S, int V, int M, int J, class F> BT_NOINLINE void visit(F& f, long row, long block) {
  if constexpr (fits<S, V>(M, J)) f.template tile<M, J>(row, block);
}
template <int S, int V, int J, class F> void visit_rows(F& f, int M, long row, long block) {
  switch (M) {
    case 1: return visit<S, V, 1, J>(f, row, block);
    case 2: return visit<S, V, 2, J>(f, row, block);
    case 3: return visit<S, V, 3, J>(f, row, block);
    case 4: return visit<S, V, 4, J>(f, row, block);
    case 5: return visit<S, V, 5, J>(f, row, block);
    case 6: return visit<S, V, 6, J>(f, row, block);
  }
}
template <int S, int V, class F> void visit_tile(F& f, int M, int J, long row, long block) {
  switch (J) {
    case 8: return visit_rows<S, V, 8>(f, M, row, block);
    case 4: return visit_rows<S, V, 4>(f, M, row, block);
    case 3: return visit_rows<S, V, 3>(f, M, row, block);
    case 2: return visit_rows<S, V, 2>(f, M, row, block);
    default: return visit_rows<S, V, 1>(f, M, row, block);
  }
}

struct Sweep {  // how for_tiles goes through the blocks
  bool back = false;            // from the last to the first
  int sums = MAX_ACCUMULATORS;  // of a tile, at most
};

// n rows in as few tiles of at most `most` as there can be, and as evenly: no thin tile is left at the end.
struct Dealt {
  long tiles, thin, thick;  // the first `thick` tiles have one row more than `thin`
  Dealt(long n, int most) : tiles((n + most - 1) / most), thin(n / tiles), thick(n % tiles) {}
  int rows(long i) const { return static_cast<int>(thin + (i < thick)); }
};

// How large the tiles of n rows are, a block having S sums and V vectors of weights. With 16 registers twelve sums are 6 rows by
// 2 vectors where n can be dealt out so, or 4 by 3, or 3 by 4: few loads, and enough sums not to wait for each other.
template <int S, int V> struct TileSizes {
  const bool tall;
  const int most;  // blocks of a tile

  TileSizes(long n, int sums)
      : tall(BT_REGISTERS == 16 && V != 3 && Dealt(n, MAX_ROWS).thin >= MAX_ROWS - 1),
        most(tall ? blocks_for<S>(MAX_ROWS, MAX_ACCUMULATORS) : blocks_for<S>(Dealt(n, FEW_ROWS).rows(0), sums)) {}
  int blocks(long left) const {  // a single block at the end would be too few sums: a rest goes by threes
    if (S == 1 && (most == 2 || most == 4) && left >= 3 && left % most) return 3;
    int J = most;
    while (J > left) J /= 2;
    return J;
  }
  int rows(int J) const {
    const int fit = tall && V == 4 ? MAX_ROWS : MAX_ACCUMULATORS / (V * J);
    return fit < 1 ? 1 : fit < MAX_ROWS ? fit : MAX_ROWS;
  }
};

// So many rows of `width` numbers as stay in a second cache while all blocks pass by, in whole tiles.
template <class T> long rows_in_cache(long width) {
  constexpr long cache = 384 * 1024;
  const long rows = cache / (width * static_cast<long>(sizeof(T))) / MAX_ROWS * MAX_ROWS;
  return rows < MAX_ROWS ? MAX_ROWS : rows;
}

// Covers rows [r0, r1) x blocks [b0, b1) with calls f.tile<M, J>(row, block). The blocks are the outer loop, so that a panel
// serves all rows while it is in cache.
template <int S, int V, class F> void for_tiles(long r0, long r1, long b0, long b1, F& f, Sweep sweep = {}) {
  const long n = r1 - r0;
  if (n <= 0) return;
  const TileSizes<S, V> sizes(n, sweep.sums);
  for (long left = b1 - b0; left > 0;) {
    const int J = sizes.blocks(left);
    left -= J;
    const long block = sweep.back ? b0 + left : b1 - left - J;
    const Dealt dealt(n, sizes.rows(J));
    for (long i = 0, row = r0; i < dealt.tiles; row += dealt.rows(i++)) visit_tile<S, V>(f, dealt.rows(i), J, row, block);
  }
}

}  // namespace backtime::BT_ISA
