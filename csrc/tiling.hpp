// How rows and blocks are dealt out among register tiles.
#pragma once
#include "tile.hpp"

namespace backtime::BT_ISA {

// Enough to hide the latency of an addition while the weights come from the second cache, at some 32 bytes a cycle.
constexpr int FEW_ACCUMULATORS = BT_VECTOR_BYTES >= 32 ? 256 / BT_VECTOR_BYTES : MAX_ACCUMULATORS;
constexpr int MAX_ROWS = 6;
constexpr int FEW_ROWS = BT_REGISTERS == 32 ? 6 : 3;  // a step of fewer waits for its weights

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
  if (J > 1) return M * J * (BT_REGISTERS == 16 ? V : S) <= MAX_ACCUMULATORS;
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
// 2 vectors, or 4 by 3, or 3 by 4. The more rows, the fewer weights come from the second cache for each multiply-add; eight sums
// at least, so that none waits for the one before.
template <int S, int V> struct TileSizes {
  const bool tall;
  const int most;  // blocks of a tile

  TileSizes(long n, int sums)
      : tall(BT_REGISTERS == 16 && V != 3 && Dealt(n, MAX_ROWS).thin >= (V == 4 ? 3 : 4)),
        most(tall ? blocks_for<S>(MAX_ROWS, MAX_ACCUMULATORS) : blocks_for<BT_REGISTERS == 16 ? V : S>(Dealt(n, FEW_ROWS).rows(0), sums)) {}
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
    for (long i = 0, row = r0; i < dealt.tiles; row += dealt.rows(i++)) {
      if constexpr (requires { f.first_rows; }) f.first_rows = i == 0;
      visit_tile<S, V>(f, dealt.rows(i), J, row, block);
    }
  }
}

}  // namespace backtime::BT_ISA
