// The tiles of a forward pass. Layout says whether a block's gates have a vector each or share them (paired.hpp).
#pragma once
#include "forward_pass.hpp"
#include "tiling.hpp"

namespace backtime::BT_ISA {

// Adds the input product of rows [at, at + M) to a tile: of a block's vectors those from `first` to `past`.
template <class Layout, int first, int past, class T, class Cell, int M, int J>
BT_INLINE void add_input(const ForwardPass<T, Cell>& pass, Tile<T, M, J, Layout::sums>& tile, long at, long block, bool next_panel) {
  using Slot = typename Layout::XSlot;
  constexpr int L = LANES<T>, N = Layout::vectors;
  const ForwardCall<T>& call = pass.call;
  const long I = pass.s.I;
  const T* panel = pass.w.x + block * I * Cell::G * L;
  if (call.x) return multiply<Slot, N, first, past>(tile, call.x + at * I, I, panel, I * N * L, I, next_panel);
  for (int m = 0; m < M; m++)  // one-hot: the column of the token
    for (int j = 0; j < J; j++) {
      const T* column = panel + L * (j * I * N + call.tokens[at + m] * STRIP<N>);
      for (int v = first; v < past; v++) tile.z[m][j][Slot::of(v)] += load(column + vector_at<T, N>(v, I));
    }
}

// For layer norm: the gates that Slot picks of one product's sums.
template <class Layout, class Slot, int G, int S, class T, int N> BT_INLINE void put_gates(T* place, const Vec<T> (&sum)[N]) {
  Vec<T> z[S];
  Layout::split(sum, z);
  for (int g = 0; g < G; g++) store(place + g * LANES<T>, z[Slot::of(g)]);
}

// The input product alone, over all rows of a chunk of steps; under layer norm without the bias, which comes after it.
template <class T, class Cell, class Layout> struct InputTiles {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S, N = Layout::sums;
  const ForwardPass<T, Cell>& pass;
  const long gate_first;
  bool first_rows = false;  // of those that one panel serves
  template <int M, int J> void tile(long at, long block) {
    const bool norm = pass.w.gx;
    Tile<T, M, J, N> tile;
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++)
        for (int i = 0; i < N; i++) tile.z[m][j][i] = norm ? Vec<T>{} : load(pass.w.bias + ((block + j) * S + i) * L);
    constexpr int V = Layout::vectors, half = halves<V>(M, J) ? V / 2 : V;
    add_input<Layout, 0, half>(pass, tile, at, block, first_rows);
    if constexpr (half < V) add_input<Layout, half, V>(pass, tile, at, block, first_rows);
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) {
        if (norm) put_gates<Layout, typename Cell::XSlot, G, S>(pass.norm.input(at + m - gate_first, block + j), tile.z[m][j]);
        else
          for (int i = 0; i < N; i++) store(pass.gate_row(at + m - gate_first, block + j) + i * L, tile.z[m][j][i]);
      }
  }
};

// Both products of one step, or, after the input product, the hidden one; then the cell.
template <class T, class Cell, class Layout> struct CellTiles {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S, N = Layout::sums;
  const ForwardPass<T, Cell>& pass;
  const Span<T> span;
  bool first_rows = false;  // of those that one panel serves

  template <int M, int J> void tile(long row, long block) {
    const bool norm = pass.w.gx;
    Tile<T, M, J, N> tile;
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) {
        const T* from = pass.hoisted ? pass.gate_row(span.gates + row + m, block + j) : pass.w.bias + (block + j) * S * L;
        for (int i = 0; i < N; i++) tile.z[m][j][i] = norm ? Vec<T>{} : load(from + i * L);
      }
    constexpr int V = Layout::vectors, half = halves<V>(M, J) ? V / 2 : V;
    add_products<0, half>(tile, row, block);
    if constexpr (half < V) add_products<half, V>(tile, row, block);
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) {
        if (norm) put_gates<Layout, typename Cell::HSlot, G, S>(pass.norm.hidden(span.inner + row + m, block + j), tile.z[m][j]);
        else finish(tile.z[m][j], row + m, block + j);
      }
  }

 private:
  template <int first, int past, int M, int J> BT_INLINE void add_products(Tile<T, M, J, N>& tile, long row, long block) {
    constexpr int V = Layout::vectors;
    const Sizes& s = pass.s;
    if (!pass.hoisted) add_input<Layout, first, past>(pass, tile, span.at + row, block, first_rows);
    multiply<typename Layout::HSlot, V, first, past>(tile, span.into + row * span.into_ld, span.into_ld, pass.w.h + block * s.P * G * L,
                                                     s.P * V * L, s.P, first_rows);
  }
  BT_INLINE void finish(const Vec<T> (&sum)[N], long row, long block) {
    Vec<T> z[S], before{};
    Layout::split(sum, z);
    if constexpr (Cell::has_direct) before = pass.before(span, row, block);
    const Vec<T> c = pass.update(span, z, row, block);
    pass.emit(span, Cell::output(z, c, before), row, block);
    if (pass.saved)
      for (int i = 0; i < S; i++) store(pass.gate_row(span.gates + row, block) + i * L, z[i]);
  }
};

// Covers rows [r0, r1) x blocks [b0, b1) with Tiles{pass, argument}: a paired block, the last, apart from the others.
template <template <class, class, class> class Tiles, class T, class Cell, class Argument>
void for_blocks(const ForwardPass<T, Cell>& pass, const Argument& argument, long r0, long r1, long b0, long b1, Sweep sweep = {}) {
  const long before = b1 < pass.w.single ? b1 : pass.w.single;
  const auto last = [&] {
    if constexpr (Cell::pairs > 0) {
      Tiles<T, Cell, Paired<T, Cell>> tiles{pass, argument};
      for_tiles<MAX_ACCUMULATORS, Paired<T, Cell>::vectors>(r0, r1, b0 < before ? before : b0, b1, tiles);  // one block at a time
    }
  };
  if (sweep.back) last();
  Tiles<T, Cell, Single<T, Cell>> tiles{pass, argument};
  for_tiles<Cell::S, Cell::G>(r0, r1, b0, before, tiles, sweep);
  if (!sweep.back) last();
}

// y = g(Wy inner + by): the output product inside the recurrence.
template <class T, class Cell> struct OutputTiles {
  static constexpr int L = LANES<T>;
  const ForwardPass<T, Cell>& pass;
  const Span<T> span;
  const LinearPanels<T> panels;
  template <int M, int J> void tile(long row, long block) {
    const long H = pass.s.H;
    Tile<T, M, J, 1> q;  // from zero, the bias last: it is often larger than the sum, which would lose digits to it
    q.clear();
    multiply<Straight, 1>(q, pass.inner + (span.inner + row) * H, H, panels.w + block * H * L, H * L, H);
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) {
        const Vec<T> sum = q.z[m][j][0] + load(panels.bias + (block + j) * L);
        pass.write_output(span, activate<T>(pass.o.output, sum), row + m, block + j);
      }
  }
};

}  // namespace backtime::BT_ISA
