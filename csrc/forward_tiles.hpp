// The tiles of a forward pass, and the arithmetic that follows their products on the registers.
#pragma once
#include "norm_rows.hpp"
#include "span.hpp"
#include "weights.hpp"

namespace backtime::BT_ISA {

template <class T, class Cell> struct ForwardPass {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  const ForwardCall<T>& call;
  const Sizes& s;
  const Options<T>& o;
  const bool saved, hoisted;
  PackedWeights<T, Cell> w;
  T *gates = nullptr, *cells = nullptr;  // (nb, gate_rows, S, L) or null; (nb, cell_rows, L): the starts, then, when saved, every row
  T* inner = nullptr;                    // (R or, when nothing is saved, B, H)
  T* into = nullptr;                     // (R, P) h before under mask and cuts, or null: then it is y and h0
  long gate_rows = 0, cell_rows = 0;
  NormRows<T, Cell> norm;

  ForwardPass(const ForwardCall<T>& c, bool hoisted)
      : call(c), s(c.sizes), o(c.options), saved(c.kept.gates), hoisted(hoisted), w(const_cast<T*>(c.panels), s, c.weights) {}

  // The rows of step k that go on from the step before, or those that start there.
  Span<T> span(long k, bool going_on, long gate_first) const {
    const Steps& steps = s.steps;
    const long t = steps.time(k), at = steps.start(t), before = going_on ? steps.start(steps.time(k - 1)) : 0;
    Span<T> span{at, at - gate_first, saved ? at : 0};
    span.before = going_on ? call.y + before * call.ldy : call.h0;
    span.before_ld = going_on ? call.ldy : s.P;
    span.into = into ? into + at * s.P : span.before;
    span.into_ld = into ? s.P : span.before_ld;
    span.c_from = saved && going_on ? steps.B + before : 0;
    span.c_to = saved ? steps.B + at : 0;
    span.next_rows = steps.going_on(k + 1);
    span.next = span.next_rows ? steps.start(steps.time(k + 1)) : 0;
    return span;
  }
  T* gate_row(long row, long block) const { return gates + (block * gate_rows + row) * S * L; }
  T* cell_row(long row, long block) const { return cells + (block * cell_rows + row) * L; }
  Inside<T> inside(long block) const { return {o.activation, o.coupled, w.p ? w.p + block * 3 * L : nullptr}; }
  bool cut(const Span<T>& span, long row) const { return o.cut && o.cut[span.at + row]; }

  BT_INLINE Vec<T> before(const Span<T>& span, long row, long block) const {
    return cut(span, row) ? Vec<T>{} : load_n(span.before + row * span.before_ld + block * L, lanes_in<T>(block, s.P));
  }
  // z and the state before become the gates and c; returns c.
  BT_INLINE Vec<T> update(const Span<T>& span, Vec<T> (&z)[S], long row, long block) const {
    Vec<T> c{};
    if constexpr (Cell::has_cell)
      if (!cut(span, row)) c = load(cell_row(span.c_from + row, block));
    const Vec<T> c_before = c;
    Cell::update(inside(block), z, c);
    if constexpr (Cell::has_cell) {
      store(cell_row(span.c_to + row, block), o.keeps_c ? keep_c(c, c_before, span.at + row, block) : c);
    }
    return c;
  }
  BT_APART Vec<T> keep_c(Vec<T> c, Vec<T> c_before, long at, long block) const {
    return fma<T>(share_kept(o.keep_c, o.keep_c_rows, at, block, s.H), c_before - c, c);
  }
  // h of the cell: to the output product, or out.
  BT_INLINE void emit(const Span<T>& span, Vec<T> h, long row, long block) const {
    if (Cell::has_output && w.y) return store_n(inner + (span.inner + row) * s.H + block * L, h, lanes_in<T>(block, s.H));
    put_out(span, h, row, block);
  }
  BT_INLINE void put_out(const Span<T>& span, Vec<T> h, long row, long block) const {
    if (o.keeps_h || into) h = keep_and_hand_on(span, h, row, block);
    store_n(call.y + (span.at + row) * call.ldy + block * L, h, lanes_in<T>(block, s.P));
  }
  BT_APART Vec<T> keep_and_hand_on(const Span<T>& span, Vec<T> h, long row, long block) const {
    if (o.keeps_h) h = fma<T>(share_kept(o.keep_h, o.keep_h_rows, span.at + row, block, s.P), before(span, row, block) - h, h);
    if (into && row < span.next_rows) hand_on(h, row, span.next + row, block);
    return h;
  }
  void hand_on(Vec<T> h, long row, long at, long block) const {
    store_n(into + at * s.P + block * L, masked(o, h, row, at, block, s.P), lanes_in<T>(block, s.P));
  }
};

// Adds the input product of rows [at, at + M) to a tile.
template <class T, class Cell, int M, int P>
BT_INLINE void add_input(const ForwardPass<T, Cell>& pass, Tile<T, M, P, Cell::S>& tile, long at, long block) {
  constexpr int L = LANES<T>, G = Cell::G;
  const ForwardCall<T>& call = pass.call;
  const long I = pass.s.I;
  const T* panel = pass.w.x + block * I * G * L;
  if (call.x) return multiply<typename Cell::XSlot, G>(tile, call.x + at * I, I, panel, I * G * L, I);
  for (int m = 0; m < M; m++)  // one-hot: the column of the token
    for (int p = 0; p < P; p++)
      for (int g = 0; g < G; g++)
        tile.z[m][p][Cell::XSlot::of(g)] += load(panel + ((p * I + call.tokens[at + m]) * G + g) * L);
}

// The input product alone, over all rows of a chunk of steps; under layer norm without the bias, which comes after it.
template <class T, class Cell> struct InputTiles {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  const ForwardPass<T, Cell>& pass;
  long gate_first;
  template <int M, int P> void tile(long at, long block) {
    const bool norm = pass.w.gx;
    Tile<T, M, P, S> tile;
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++)
        for (int i = 0; i < S; i++) tile.z[m][p][i] = norm ? Vec<T>{} : load(pass.w.bias + ((block + p) * S + i) * L);
    add_input(pass, tile, at, block);
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++) {
        if (norm) put_gates<typename Cell::XSlot, G, T>(pass.norm.input(at + m - gate_first, block + p), tile.z[m][p]);
        else
          for (int i = 0; i < S; i++) store(pass.gate_row(at + m - gate_first, block + p) + i * L, tile.z[m][p][i]);
      }
  }
};

// Both products of one step, or, after the input product, the hidden one; then the cell.
template <class T, class Cell> struct CellTiles {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  const ForwardPass<T, Cell>& pass;
  const Span<T> span;

  template <int M, int P> void tile(long row, long block) {
    const Sizes& s = pass.s;
    const bool norm = pass.w.gx;
    Tile<T, M, P, S> tile;
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++) {
        const T* from = pass.hoisted ? pass.gate_row(span.gates + row + m, block + p) : pass.w.bias + (block + p) * S * L;
        for (int i = 0; i < S; i++) tile.z[m][p][i] = norm ? Vec<T>{} : load(from + i * L);
      }
    if (!pass.hoisted) add_input(pass, tile, span.at + row, block);
    multiply<typename Cell::HSlot, G>(tile, span.into + row * span.into_ld, span.into_ld, pass.w.h + block * s.P * G * L, s.P * G * L, s.P);
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++) {
        if (norm) put_gates<typename Cell::HSlot, G, T>(pass.norm.hidden(span.inner + row + m, block + p), tile.z[m][p]);
        else finish(tile.z[m][p], row + m, block + p);
      }
  }

 private:
  BT_INLINE void finish(Vec<T> (&z)[S], long row, long block) {
    Vec<T> before{};
    if constexpr (Cell::has_direct) before = pass.before(span, row, block);
    const Vec<T> c = pass.update(span, z, row, block);
    pass.emit(span, Cell::output(z, c, before), row, block);
    if (pass.saved)
      for (int i = 0; i < S; i++) store(pass.gate_row(span.gates + row, block) + i * L, z[i]);
  }
};

// y = g(Wy inner + by): the output product inside the recurrence.
template <class T, class Cell> struct OutputTiles {
  static constexpr int L = LANES<T>;
  const ForwardPass<T, Cell>& pass;
  const Span<T> span;
  const LinearPanels<T> panels;
  template <int M, int P> void tile(long row, long block) {
    const long H = pass.s.H;
    Tile<T, M, P, 1> q{};  // from zero, the bias last: it is often larger than the sum, which would lose digits to it
    multiply<Straight, 1>(q, pass.inner + (span.inner + row) * H, H, panels.w + block * H * L, H * L, H);
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++) {
        const Vec<T> sum = q.z[m][p][0] + load(panels.bias + (block + p) * L);
        pass.put_out(span, activate<T>(pass.o.output, sum), row + m, block + p);
      }
  }
};

}  // namespace backtime::BT_ISA
