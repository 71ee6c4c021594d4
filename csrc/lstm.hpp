// LSTM: the arithmetic of one block of hidden units in one row. Derivation: docs/lstm.md.
#pragma once
#include "functions.hpp"
#include "tile.hpp"

namespace backtime::BT_ISA {

template <class T> struct Lstm {
  using V = Vec<T>;
  static constexpr int G = 4, S = 4;  // gates i f g o, all kept
  static constexpr bool has_cell = true, has_direct = false;
  using XSlot = Straight;
  using HSlot = Straight;

  static BT_INLINE void bias(V (&z)[S], const V (&bx)[G], const V (&bh)[G]) {
    for (int g = 0; g < G; g++) z[g] = bx[g] + bh[g];
  }

  // z holds pre-activations, then the gates; c the state before, then after.
  static BT_INLINE V forward(Activation, V (&z)[S], V& c, V /*h_before*/) {
    z[0] = sigmoid<T>(z[0]);
    z[1] = sigmoid<T>(z[1]);
    z[2] = tanh<T>(z[2]);
    z[3] = sigmoid<T>(z[3]);
    c = fma<T>(z[1], c, z[0] * z[2]);
    return z[3] * tanh<T>(c);
  }

  // gates become dz; dc becomes the gradient of the cell state before.
  static BT_INLINE void backward(Activation, V (&z)[S], V dh, V c, V c_before, V /*h_before*/, V& dc, V& /*direct*/) {
    const V one = broadcast<T>(T(1)), i = z[0], f = z[1], g = z[2], o = z[3];
    const V tanh_c = tanh<T>(c);
    z[3] = dh * tanh_c * o * (one - o);
    dc = fma<T>(dh * o, one - tanh_c * tanh_c, dc);
    z[2] = dc * i * (one - g * g);
    z[1] = dc * c_before * f * (one - f);
    z[0] = dc * g * i * (one - i);
    dc = dc * f;
  }
};

}  // namespace backtime::BT_ISA
