// A forward pass: where its rows lie, and the arithmetic that follows the products on the registers.
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
  CellOptions<T> cell_options(long block) const { return {o.activation, o.coupled, w.p ? w.p + block * 3 * L : nullptr}; }
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
    Cell::update(cell_options(block), z, c);
    if constexpr (Cell::has_cell) { store(cell_row(span.c_to + row, block), o.keeps_c ? keep_c(c, c_before, span.at + row, block) : c); }
    return c;
  }
  BT_NOINLINE Vec<T> keep_c(Vec<T> c, Vec<T> c_before, long at, long block) const {
    return fma<T>(share_kept(o.keep_c, o.keep_c_rows, at, block, s.H), c_before - c, c);
  }
  // h of the cell: to the output product, or out.
  BT_INLINE void emit(const Span<T>& span, Vec<T> h, long row, long block) const {
    if (Cell::has_output && w.y) return store_n(inner + (span.inner + row) * s.H + block * L, h, lanes_in<T>(block, s.H));
    write_output(span, h, row, block);
  }
  BT_INLINE void write_output(const Span<T>& span, Vec<T> h, long row, long block) const {
    if (o.keeps_h || into) h = keep_and_feed_back(span, h, row, block);
    store_n(call.y + (span.at + row) * call.ldy + block * L, h, lanes_in<T>(block, s.P));
  }
  BT_NOINLINE Vec<T> keep_and_feed_back(const Span<T>& span, Vec<T> h, long row, long block) const {
    if (o.keeps_h) h = fma<T>(share_kept(o.keep_h, o.keep_h_rows, span.at + row, block, s.P), before(span, row, block) - h, h);
    if (into && row < span.next_rows) feed_back(h, row, span.next + row, block);
    return h;
  }
  void feed_back(Vec<T> h, long row, long at, long block) const {
    store_n(into + at * s.P + block * L, masked(o, h, row, at, block, s.P), lanes_in<T>(block, s.P));
  }
};

}  // namespace backtime::BT_ISA
