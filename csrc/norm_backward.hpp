// Layer norm, back: one row of a step at a time, as norm.hpp has it forward. docs/options.md has the derivation.
#pragma once
#include "backward_tiles.hpp"

namespace backtime::BT_ISA {

// From dh of one row to dz of its gates, and on through both normalisations to dzx and dzh.
template <class T, class Cell>
void finish_normalised(const BackwardPass<T, Cell>& pass, const Span<T>& span, T* dnc, long row) {
  constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  const Sizes& s = pass.s;
  const auto& w = pass.call.weights;
  const long R = s.rows(), at = span.at + row, nb = blocks_of<T>(s.H);
  const NormRows<T, Cell> norm(pass.call.kept.norm, s, R, R);
  const auto gates_at = [&](T* rows, long b, int n) { return rows + (b * R + at) * n * L; };
  const auto vectors = [&](const T* v, int g, long b) { return block_or_zero(v + g * s.H, b, s.H); };

  Vec<T> z[S];
  if constexpr (Cell::has_cell) {  // out: dE/d(LN(c) gc + bc), kept for the gains; then through LN
    T* dc = gates_at(dnc, 0, 1);
    for (long b = 0; b < nb; b++) {
      for (int i = 0; i < S; i++) z[i] = load(gates_at(pass.call.kept.gates, b, S) + i * L);
      Vec<T> d{};
      const Vec<T> c = fma<T>(load(norm.cell(at, b)), vectors(w.gc, 0, b), vectors(w.bc, 0, b));
      Cell::backward_output(z, load(pass.carried(pass.dh, row, b)), c, d);
      store(gates_at(pass.dz, b, S) + 3 * L, z[3]);
      store(dc + b * R * L, d);
      store(pass.carried(pass.dh, row, b), d * vectors(w.gc, 0, b));
    }
    normalise_backward(pass.carried(pass.dh, row, 0), s.steps.B * L, norm.cell(at, 0), R * L, 1, s.H, norm.c_scale[at]);
  }
  for (long b = 0; b < nb; b++) {
    finish_block(pass, span, row, b);
    for (int i = 0; i < S; i++) z[i] = load(gates_at(pass.dz, b, S) + i * L);
    for (int g = 0; g < G; g++) {
      store(gates_at(pass.dzx, b, G) + g * L, z[Cell::XSlot::of(g)] * vectors(w.gx, g, b));
      store(gates_at(pass.dzh, b, G) + g * L, z[Cell::HSlot::of(g)] * vectors(w.gh, g, b));
    }
  }
  normalise_backward(gates_at(pass.dzx, 0, G), R * G * L, norm.input(at, 0), R * G * L, G, s.H, norm.x_scale[at]);
  normalise_backward(gates_at(pass.dzh, 0, G), R * G * L, norm.hidden(at, 0), R * G * L, G, s.H, norm.h_scale[at]);
}

// The cell's own derivative of one block, for which the LSTM's output half is done.
template <class T, class Cell>
void finish_block(const BackwardPass<T, Cell>& pass, const Span<T>& span, long row, long block) {
  constexpr int L = LANES<T>, S = Cell::S;
  const long slot = (block * pass.s.rows() + span.at + row) * S * L;
  const Vec<T> d = load(pass.carried(pass.dh, row, block));
  Vec<T> z[S], c{}, c_before{}, before{}, dc{}, past{}, bypass{};
  for (int i = 0; i < S; i++) z[i] = load(pass.call.kept.gates + slot + i * L);
  if (pass.direct && !pass.dq) bypass = load(pass.carried(pass.direct, row, block));
  if constexpr (Cell::has_direct) before = pass.before(span, row, block);
  if constexpr (Cell::has_cell) {
    pass.load_cells(span, z, c, c_before, row, block);
    dc = load(pass.carried(pass.dcell, row, block));
    if (pass.o.keeps_c) past = pass.kept_c(dc, span.at + row, block), dc -= past;
    dc += d;
    z[3] = load(pass.dz + slot + 3 * L);
  }
  Cell::backward_update(pass.cell_options(block), z, d, c_before, before, dc, bypass);
  for (int i = 0; i < S; i++) store(pass.dz + slot + i * L, z[i]);
  pass.hand_back(span, dc + past, bypass, row, block);
}

}  // namespace backtime::BT_ISA
