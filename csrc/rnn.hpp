// Elman RNN: the arithmetic of one block of hidden units in one row. Derivation: docs/rnn.md.
#pragma once
#include "weights.hpp"

namespace backtime::BT_ISA {

template <class T> struct Rnn {
  using V = Vec<T>;
  static constexpr int G = 1, S = 1;  // kept: h, from which every activation's derivative follows
  static constexpr int pairs = 0;  // no paired block
  static constexpr bool has_cell = false, has_direct = false, two_products = false, has_output = true;
  using XSlot = Straight;
  using HSlot = Straight;

  static void pack_hidden(const T* Wh, const Sizes& s, T* panels, long b0, long b1) { pack_panels<T, G>(Wh, s.H, s.P, panels, b0, b1); }
  static BT_INLINE void bias(V (&z)[S], const V (&bx)[G], const V (&bh)[G]) { z[0] = bx[0] + bh[0]; }

  static BT_INLINE void update(const CellOptions<T>& in, V (&z)[S], V& /*c*/) { z[0] = activate<T>(in.f, z[0]); }
  static BT_INLINE V output(const V (&z)[S], V /*c*/, V /*h_before*/) { return z[0]; }

  static BT_INLINE void backward_output(V (&)[S], V, V, V&) {}
  static BT_INLINE void backward_update(const CellOptions<T>& in, V (&z)[S], V dh, V, V, V& /*dc*/, V& /*direct*/) {
    z[0] = gradient<T>(in.f, z[0], dh);
  }
};

}  // namespace backtime::BT_ISA
