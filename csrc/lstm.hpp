// LSTM: the arithmetic of one block of hidden units in one row. Derivation: docs/lstm.md.
//
// In two halves, so that layer norm can stand between the cell state and the output.
#pragma once
#include "weights.hpp"

namespace backtime::BT_ISA {

template <class T> struct Lstm {
  using V = Vec<T>;
  static constexpr int G = 4, S = 4;  // gates i f g o, all kept
  static constexpr int pairs = 2;  // i f, g o: share a vector in a paired block
  static constexpr bool has_cell = true, has_direct = false, two_products = false, has_output = true;
  using XSlot = Straight;
  using HSlot = Straight;

  static void pack_hidden(const T* Wh, const Sizes& s, T* panels, long b0, long b1) { pack_panels<T, G>(Wh, s.H, s.P, panels, b0, b1); }
  static BT_INLINE void bias(V (&z)[S], const V (&bx)[G], const V (&bh)[G]) {
    for (int g = 0; g < G; g++) z[g] = bx[g] + bh[g];
  }

  // z holds pre-activations, then the gates; c the state before, then after.
  static BT_INLINE void update(const CellOptions<T>& in, V (&z)[S], V& c) {
    if (in.p) z[0] = fma<T>(in.peephole(0), c, z[0]), z[1] = fma<T>(in.peephole(1), c, z[1]);
    z[0] = sigmoid<T>(z[0]);
    z[1] = in.coupled ? broadcast<T>(T(1)) - z[0] : sigmoid<T>(z[1]);
    z[2] = tanh<T>(z[2]);
    c = fma<T>(z[1], c, z[0] * z[2]);
    if (in.p) z[3] = fma<T>(in.peephole(2), c, z[3]);
    z[3] = sigmoid<T>(z[3]);
  }
  static BT_INLINE V output(const V (&z)[S], V c, V /*h_before*/) { return z[3] * tanh<T>(c); }

  // The output gate becomes dz; the gradient by `output`'s c is added to dc.
  static BT_INLINE void backward_output(V (&z)[S], V dh, V c, V& dc) {
    const V one = broadcast<T>(T(1)), o = z[3], tanh_c = tanh<T>(c);
    z[3] = dh * tanh_c * o * (one - o);
    dc = fma<T>(dh * o, one - tanh_c * tanh_c, dc);
  }
  // The other gates become dz; dc, the gradient by the state after, becomes that by the state before.
  static BT_INLINE void backward_update(const CellOptions<T>& in, V (&z)[S], V /*dh*/, V c_before, V /*h_before*/, V& dc, V& /*direct*/) {
    const V one = broadcast<T>(T(1)), i = z[0], f = z[1], g = z[2];
    if (in.p) dc = fma<T>(z[3], in.peephole(2), dc);
    z[2] = dc * i * (one - g * g);
    z[1] = in.coupled ? V{} : dc * c_before * f * (one - f);
    z[0] = dc * (in.coupled ? g - c_before : g) * i * (one - i);
    dc = dc * f;
    if (in.p) dc = fma<T>(z[0], in.peephole(0), fma<T>(z[1], in.peephole(1), dc));
  }
};

}  // namespace backtime::BT_ISA
