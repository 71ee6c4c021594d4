// GRU in its first form, the reset gate before the product: n = tanh(Wx_n x + b + Wh_n (r h)). The candidate's product waits for
// r, so a step is two products. Derivation: docs/gru.md.
#pragma once
#include "backward_tiles.hpp"
#include "forward_tiles.hpp"

namespace backtime::BT_ISA {

template <class T> struct GruBefore {
  using V = Vec<T>;
  static constexpr int G = 3, S = 3;  // gates r z n, all kept; r h is kept beside them
  static constexpr int pairs = 0;  // no paired block
  static constexpr bool has_cell = false, has_direct = true, two_products = true, has_output = false;
  using XSlot = Straight;
  using HSlot = Straight;

  static BT_INLINE void bias(V (&z)[S], const V (&bx)[G], const V (&bh)[G]) {
    for (int g = 0; g < G; g++) z[g] = bx[g] + bh[g];
  }
  // (nb, P, 2, L) of r and z, then (nb, P, 1, L) of n
  static void pack_hidden(const T* Wh, const Sizes& s, T* panels, long b0, long b1) {
    pack_panels<T, 2>(Wh, s.H, s.P, panels, b0, b1);
    pack_panels<T, 1>(Wh + 2 * s.H * s.P, s.H, s.P, panels + candidate_panels(s), b0, b1);
  }
  static long candidate_panels(const Sizes& s) { return blocks_of<T>(s.H) * s.P * 2 * LANES<T>; }
};

template <class T> struct ResetUpdateTiles {  // r, z and r h
  static constexpr int L = LANES<T>;
  const ForwardPass<T, GruBefore<T>>& pass;
  const Span<T> span;
  bool first_rows = false;  // of those that one panel serves
  template <int M, int J> void tile(long row, long block) {
    const long H = pass.s.H;
    Tile<T, M, J, 2> tile;
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++)
        for (int g = 0; g < 2; g++) tile.z[m][j][g] = load(pass.gate_row(span.gates + row + m, block + j) + g * L);
    const T* h = span.into + row * span.into_ld;
    multiply<Straight, 2>(tile, h, span.into_ld, pass.w.h + block * H * 2 * L, H * 2 * L, H, first_rows);
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) {
        const int lanes = lanes_in<T>(block + j, H);
        const Vec<T> r = sigmoid<T>(tile.z[m][j][0]), into = load_n(h + m * span.into_ld + (block + j) * L, lanes);
        T* gates = pass.gate_row(span.gates + row + m, block + j);
        store(gates, r), store(gates + L, sigmoid<T>(tile.z[m][j][1]));
        store_n(pass.inner + (span.inner + row + m) * H + (block + j) * L, r * into, lanes);
      }
  }
};

template <class T> struct CandidateTiles {  // n and h
  static constexpr int L = LANES<T>;
  const ForwardPass<T, GruBefore<T>>& pass;
  const Span<T> span;
  template <int M, int J> void tile(long row, long block) {
    const long H = pass.s.H;
    Tile<T, M, J, 1> tile;
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) tile.z[m][j][0] = load(pass.gate_row(span.gates + row + m, block + j) + 2 * L);
    const T* panels = pass.w.h + GruBefore<T>::candidate_panels(pass.s) + block * H * L;
    multiply<Straight, 1>(tile, pass.inner + (span.inner + row) * H, H, panels, H * L, H);
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) {
        T* gates = pass.gate_row(span.gates + row + m, block + j);
        const Vec<T> z = load(gates + L), n = tanh<T>(tile.z[m][j][0]), before = pass.before(span, row + m, block + j);
        store(gates + 2 * L, n);
        pass.emit(span, fma<T>(z, before, (broadcast<T>(T(1)) - z) * n), row + m, block + j);
      }
  }
};

// Back: through Wh_n to r h, and on to r and to h.
template <class T> struct ResetTiles {
  static constexpr int L = LANES<T>;
  const BackwardPass<T, GruBefore<T>>& pass;
  const Span<T> span;
  struct Candidate {
    static constexpr int of(int) { return 2; }
  };
  template <int M, int J> void tile(long row, long block) {
    Tile<T, M, J, 1> dm;
    dm.clear();
    multiply_gates<Candidate, 1, 3>(dm, pass.dz, pass.s.rows(), span.at + row, pass.s.H, pass.Wn, block, {0, blocks_of<T>(pass.s.H)});
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) reset(dm.z[m][j][0], row + m, block + j);
  }
  void reset(Vec<T> dm, long row, long block) const {
    const long at = span.at + row, slot = (block * pass.s.rows() + at) * 3 * L, P = pass.s.P;
    const Vec<T> r = load(pass.call.kept.gates + slot);
    const Vec<T> into = masked(pass.o, pass.before(span, row, block), row, at, block, P);
    store(pass.dz + slot, dm * into * r * (broadcast<T>(T(1)) - r));
    T* direct = pass.carried(pass.direct, row, block);
    store(direct, pass.cut(at) ? Vec<T>{} : load(direct) + masked(pass.o, dm * r, row, at, block, P));
  }
};

}  // namespace backtime::BT_ISA
