// Layer norm inside a step (Ba, Kiros and Hinton 2016): z = LN(Wx x) gx + bx + LN(Wh h) gh + bh, and LN(c) gc + bc on the
// LSTM's way out. It needs whole rows, so the cell's arithmetic follows row by row once a step's product is complete.
#pragma once
#include "forward_tiles.hpp"

namespace backtime::BT_ISA {

// One row after its hidden product: normalise, the cell, h.
template <class T, class Cell> void finish_normalised(const ForwardPass<T, Cell>& pass, const Span<T>& span, long row) {
  constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  const auto& norm = pass.norm;
  const auto& w = pass.w;
  const long kept = span.inner + row, gate = span.gates + row, nb = blocks_of<T>(pass.s.H);
  norm.normalise_hidden(kept);
  for (long b = 0; b < nb; b++) {
    Vec<T> vx[G], vh[G], z[S], before{};
    for (int g = 0; g < G; g++) {
      const long at = (b * G + g) * L;
      vx[g] = fma<T>(load(norm.input(gate, b) + g * L), load(w.gx + at), load(w.bx + at));
      vh[g] = fma<T>(load(norm.hidden(kept, b) + g * L), load(w.gh + at), load(w.bh + at));
    }
    Cell::bias(z, vx, vh);
    const Vec<T> c = pass.update(span, z, row, b);
    for (int i = 0; i < S; i++) store(pass.gate_row(gate, b) + i * L, z[i]);
    if constexpr (Cell::has_cell) {
      store(norm.cell(kept, b), c);
    } else {
      if constexpr (Cell::has_direct) before = pass.before(span, row, b);
      pass.emit(span, Cell::output(z, c, before), row, b);
    }
  }
  if constexpr (Cell::has_cell) {
    norm.normalise_cell(kept);
    for (long b = 0; b < nb; b++) {
      Vec<T> z[S];
      for (int i = 0; i < S; i++) z[i] = load(pass.gate_row(gate, b) + i * L);
      const Vec<T> c = fma<T>(load(norm.cell(kept, b)), load(w.gc + b * L), load(w.bc + b * L));
      pass.emit(span, Cell::output(z, c, Vec<T>{}), row, b);
    }
  }
}

}  // namespace backtime::BT_ISA
