// GRU, the form with the reset gate after the product: the arithmetic of one block of hidden units in one row.
// Derivation: docs/gru.md.
#pragma once
#include "weights.hpp"

namespace backtime::BT_ISA {

template <class T> struct Gru {
  using V = Vec<T>;
  static constexpr int G = 3, S = 4;  // gates r z n; kept: r z n and m = Wh_n h + bh_n
  static constexpr int pairs = 1;  // r z share a vector in a paired block
  static constexpr bool has_cell = false, has_direct = true, two_products = false, has_output = false;
  using XSlot = Straight;  // the input reaches r z n
  struct HSlot {           // the hidden state reaches r z m
    static constexpr int of(int g) { return g == 2 ? 3 : g; }
  };

  static void pack_hidden(const T* Wh, const Sizes& s, T* panels, long b0, long b1) { pack_panels<T, G>(Wh, s.H, s.P, panels, b0, b1); }
  static BT_INLINE void bias(V (&z)[S], const V (&bx)[G], const V (&bh)[G]) {
    z[0] = bx[0] + bh[0];
    z[1] = bx[1] + bh[1];
    z[2] = bx[2];
    z[3] = bh[2];
  }

  static BT_INLINE void update(const CellOptions<T>&, V (&z)[S], V& /*c*/) {
    z[0] = sigmoid<T>(z[0]);
    z[1] = sigmoid<T>(z[1]);
    z[2] = tanh<T>(fma<T>(z[0], z[3], z[2]));
  }
  static BT_INLINE V output(const V (&z)[S], V /*c*/, V h_before) {
    return fma<T>(z[1], h_before, (broadcast<T>(T(1)) - z[1]) * z[2]);  // z = 1 carries h exactly
  }

  // Kept gates become dz for r z n m; `direct` becomes the part of dh_{t-1} that does not go through Wh.
  static BT_INLINE void backward_output(V (&)[S], V, V, V&) {}
  static BT_INLINE void backward_update(const CellOptions<T>&, V (&k)[S], V dh, V /*c_before*/, V h_before, V& /*dc*/, V& direct) {
    const V one = broadcast<T>(T(1)), r = k[0], z = k[1], n = k[2], m = k[3];
    const V dn = dh * (one - z) * (one - n * n);
    k[1] = dh * (h_before - n) * z * (one - z);
    k[2] = dn;
    k[3] = dn * r;
    k[0] = dn * m * r * (one - r);
    direct += dh * z;
  }
};

}  // namespace backtime::BT_ISA
