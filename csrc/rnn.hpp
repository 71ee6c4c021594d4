// Elman RNN: the arithmetic of one block of hidden units in one row. Derivation: docs/rnn.md.
#pragma once
#include "functions.hpp"
#include "tile.hpp"

namespace backtime::BT_ISA {

template <class T> struct Rnn {
  using V = Vec<T>;
  static constexpr int G = 1, S = 1;  // kept: h, from which every activation's derivative follows
  static constexpr bool has_cell = false, has_direct = false;
  using XSlot = Straight;
  using HSlot = Straight;

  static BT_INLINE void bias(V (&z)[S], const V (&bx)[G], const V (&bh)[G]) { z[0] = bx[0] + bh[0]; }

  static BT_INLINE V activate(Activation f, V z) {
    switch (f) {
      case Activation::tanh: return tanh<T>(z);
      case Activation::sigmoid: return sigmoid<T>(z);
      case Activation::relu: return z < V{} ? V{} : z;  // NaN stays NaN
      default: return z;
    }
  }
  // dh times f'(z), with f' from h = f(z). An off unit of the relu stops dh whatever it is, as PyTorch's does; NaN is on.
  static BT_INLINE V gradient(Activation f, V h, V dh) {
    const V one = broadcast<T>(T(1));
    switch (f) {
      case Activation::tanh: return dh * (one - h * h);
      case Activation::sigmoid: return dh * (h * (one - h));
      case Activation::relu: return h <= V{} ? V{} : dh;
      default: return dh;
    }
  }

  static BT_INLINE V forward(Activation f, V (&z)[S], V& /*c*/, V /*h_before*/) { return z[0] = activate(f, z[0]); }

  static BT_INLINE void backward(Activation f, V (&z)[S], V dh, V, V, V, V& /*dc*/, V& /*direct*/) {
    z[0] = gradient(f, z[0], dh);
  }
};

}  // namespace backtime::BT_ISA
