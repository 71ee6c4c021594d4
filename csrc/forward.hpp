// One layer, forward through time. Equations: docs/rnn.md, gru.md, lstm.md; here is only how they are scheduled.
#pragma once
#include "plan.hpp"
#include "product.hpp"

namespace backtime::BT_ISA {

template <class T, class Cell> struct Panels {  // a layer's weights as the tiles read them, in one buffer
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  T *x, *h, *bias;  // (nb, I, G, L), (nb, H, G, L), (nb, S, L)
  Panels(T* buffer, const Sizes& s)
      : x(buffer), h(x + blocks_of<T>(s.H) * s.I * G * L), bias(h + blocks_of<T>(s.H) * s.H * G * L) {}
  static long length(const Sizes& s) { return blocks_of<T>(s.H) * ((s.I + s.H) * G + S) * L; }

  void pack(const Sizes& s, const LayerWeights<T>& w, long b0, long b1) {
    pack_panels<T, G>(w.Wx, s.H, s.I, x, b0, b1);
    pack_panels<T, G>(w.Wh, s.H, s.H, h, b0, b1);
    for (long b = b0; b < b1; b++) {
      Vec<T> bx[G], bh[G], z[S];
      for (int g = 0; g < G; g++) {
        bx[g] = block_or_zero(w.bx + g * s.H, b, s.H);
        bh[g] = block_or_zero(w.bh + g * s.H, b, s.H);
      }
      Cell::bias(z, bx, bh);
      for (int i = 0; i < S; i++) store(bias + (b * S + i) * L, z[i]);
    }
  }
};

// The tiles of a forward pass. First the input product alone (hoisted), or both products of one step.
template <class T, class Cell> struct Forward {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  const ForwardCall<T>& call;
  const Panels<T, Cell>& w;
  T *gates, *cells;      // (nb, R, S, L) or null; (nb, cell_rows, L)
  long cell_rows;        // B + R when c is kept, else B
  bool hoisted, hoisting;
  long t = 0;

  template <int M, int P> void tile(long row, long block) {  // row counts within the step, or all rows when hoisting
    const Sizes& s = call.sizes;
    const long at = hoisting ? row : t * s.B + row;
    Tile<T, M, P, S> tile;
    start(tile, at, block);
    if (!hoisted) add_input(tile, at, block);
    if (hoisting) return keep_gates(tile, at, block);
    const T* h = t ? call.y + (at - s.B) * s.H : call.h0 + row * s.H;
    multiply<typename Cell::HSlot, G>(tile, h, s.H, w.h + block * s.H * G * L, s.H * G * L, s.H);
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++) finish(tile.z[m][p], h + m * s.H, row + m, at + m, block + p);
    if (gates) keep_gates(tile, at, block);
  }

 private:
  T* gate_row(long at, long block) { return gates + (block * call.sizes.rows() + at) * S * L; }

  template <int M, int P> BT_INLINE void start(Tile<T, M, P, S>& tile, long at, long block) {
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++)
        for (int i = 0; i < S; i++)
          tile.z[m][p][i] = load((hoisted ? gate_row(at + m, block + p) : w.bias + (block + p) * S * L) + i * L);
  }
  template <int M, int P> BT_INLINE void add_input(Tile<T, M, P, S>& tile, long at, long block) {
    const Sizes& s = call.sizes;
    const T* panel = w.x + block * s.I * G * L;
    if (call.x) return multiply<typename Cell::XSlot, G>(tile, call.x + at * s.I, s.I, panel, s.I * G * L, s.I);
    for (int m = 0; m < M; m++)  // one-hot: the column of the token
      for (int p = 0; p < P; p++)
        for (int g = 0; g < G; g++)
          tile.z[m][p][Cell::XSlot::of(g)] += load(panel + ((p * s.I + call.tokens[at + m]) * G + g) * L);
  }
  template <int M, int P> BT_INLINE void keep_gates(const Tile<T, M, P, S>& tile, long at, long block) {
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++)
        for (int i = 0; i < S; i++) store(gate_row(at + m, block + p) + i * L, tile.z[m][p][i]);
  }
  // The cell's arithmetic on the registers: the tile's epilogue.
  BT_INLINE void finish(Vec<T> (&z)[S], const T* h_before, long row, long at, long block) {
    const Sizes& s = call.sizes;
    const int lanes = lanes_in<T>(block, s.H);
    Vec<T> c{}, before{};
    if constexpr (Cell::has_direct) before = load_n(h_before + block * L, lanes);
    T* cell = cells + (block * cell_rows + (call.cells ? at : row)) * L;
    if constexpr (Cell::has_cell) c = load(cell);
    const Vec<T> h = Cell::forward(s.activation, z, c, before);
    if constexpr (Cell::has_cell) store(cell + (call.cells ? s.B * L : 0), c);
    store_n(call.y + at * s.H + block * L, h, lanes);
  }
};

template <class T> void copy_cells_in(const Sizes& s, const T* c0, T* cells, long cell_rows, long b0, long b1) {
  for (long b = b0; b < b1; b++)
    for (long r = 0; r < s.B; r++) store(cells + (b * cell_rows + r) * LANES<T>, block_or_zero(c0 + r * s.H, b, s.H));
}
template <class T> void copy_cells_out(const Sizes& s, const T* cells, long cell_rows, T* cn) {
  for (long b = 0; b < blocks_of<T>(s.H); b++)
    for (long r = 0; r < s.B; r++)
      store_n(cn + r * s.H + b * LANES<T>, load(cells + (b * cell_rows + cell_rows - s.B + r) * LANES<T>), lanes_in<T>(b, s.H));
}

template <class T, class Cell> void forward(const ForwardCall<T>& call) {
  const Sizes& s = call.sizes;
  const long nb = blocks_of<T>(s.H), R = s.rows(), cell_rows = call.cells ? s.B + R : s.B;
  const Plan plan = plan_forward<T>(s, Cell::G, call.threads, call.tokens != nullptr);
  Buffer<T> packed, z, c;
  if (!call.panels) packed = Buffer<T>(Panels<T, Cell>::length(s));
  if (!call.gates && plan.hoist) z = Buffer<T>(nb * R * Cell::S * LANES<T>);
  if (!call.cells && Cell::has_cell) c = Buffer<T>(nb * cell_rows * LANES<T>);
  T* gates = call.gates ? call.gates : z.data();
  T* cells = call.cells ? call.cells : c.data();
  Panels<T, Cell> panels(call.panels ? const_cast<T*>(call.panels) : packed.data(), s);

  parallel(plan.threads, [&](const Member& me) {
    const FlushDenormals flush;
    long b0, b1, r0 = 0, r1 = s.B;
    me.share(nb, 1, b0, b1);
    if (packed) panels.pack(s, call.weights, b0, b1);
    if constexpr (Cell::has_cell) copy_cells_in(s, call.c0, cells, cell_rows, b0, b1);
    me.wait();
    Forward<T, Cell> pass{call, panels, gates, cells, cell_rows, false, true};
    if (plan.hoist) {
      long first, last;
      me.share(R, MAX_ROWS, first, last);
      for_tiles<Cell::S>(first, last, 0, nb, pass);
      me.wait();
    }
    pass.hoisted = plan.hoist, pass.hoisting = false;
    if (plan.by_rows) me.share(s.B, 1, r0, r1), b0 = 0, b1 = nb;
    for (pass.t = 0; pass.t < s.T; pass.t++) {
      for_tiles<Cell::S>(r0, r1, b0, b1, pass);
      if (!plan.by_rows) me.wait();
    }
  });
  if (s.B) std::memcpy(call.hn, s.T ? call.y + (R - s.B) * s.H : call.h0, s.B * s.H * sizeof(T));
  if constexpr (Cell::has_cell) copy_cells_out(s, cells, cell_rows, call.cn);
}

}  // namespace backtime::BT_ISA
