// A layer's weights as the tiles read them, in one buffer.
#pragma once
#include "functions.hpp"
#include "linear.hpp"
#include "paired.hpp"

namespace backtime::BT_ISA {

template <class T> struct CellOptions {  // what a cell's arithmetic is told besides its numbers
  Activation f;
  bool coupled;
  const T* p;  // peepholes of this block (3, L), or null
  BT_INLINE Vec<T> peephole(int i) const { return load(p + i * LANES<T>); }
};

// The vectors of a packed weight (n, H) by blocks: (nb, n, L).
template <class T> void pack_vectors(const T* from, long n, long H, T* to, long b0, long b1) {
  for (long b = b0; b < b1; b++)
    for (long i = 0; i < n; i++) store(to + (b * n + i) * LANES<T>, block_or_zero(from + i * H, b, H));
}

template <class T, class Cell> struct PackedWeights {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  long single;       // blocks before the paired one
  T *x, *h, *bias;   // (nb, I, G, L), (nb, P, G, L), (nb, S, L); the paired block takes less of its room
  T* p;              // (nb, 3, L)
  T *gx, *gh, *bx, *bh, *gc, *bc;  // layer norm: (nb, G, L), c's (nb, 1, L)
  T* y;              // LinearPanels of Wy and by
  // All but x, h and bias are null where the weight is.

  PackedWeights(T* buffer, const Sizes& s, const LayerWeights<T>& w) { place(buffer, s, w); }

  // Lays the parts out in `buffer`; returns their length.
  long place(T* buffer, const Sizes& s, const LayerWeights<T>& w) {
    const long nb = blocks_of<T>(s.H);
    long length = 0;
    single = single_blocks<T, Cell>(s.H);
    const auto take = [&](bool there, long n) {
      T* part = there && buffer ? buffer + length : nullptr;
      length += there ? n : 0;
      return part;
    };
    x = take(true, nb * s.I * G * L), h = take(true, nb * s.P * G * L), bias = take(true, nb * S * L), p = take(w.p, nb * 3 * L);
    gx = take(w.gx, nb * G * L), gh = take(w.gx, nb * G * L), bx = take(w.gx, nb * G * L), bh = take(w.gx, nb * G * L);
    gc = take(w.gc, nb * L), bc = take(w.gc, nb * L), y = take(w.Wy, LinearPanels<T>::length(s.P, s.H));
    return length;
  }
  LinearPanels<T> output(const Sizes& s) const { return {y, s.P, s.H}; }

  void pack(const Sizes& s, const LayerWeights<T>& w, const Member& me) {
    long b0, b1, p0, p1;
    me.share(blocks_of<T>(s.H), 1, b0, b1);
    me.share(blocks_of<T>(s.P), 1, p0, p1);
    pack_bias(s, w, b0, b1);
    pack_products(s, w, b0, b1);
    if (p) pack_vectors(w.p, 3, s.H, p, b0, b1);
    if (gx) pack_vectors(w.gx, G, s.H, gx, b0, b1), pack_vectors(w.gh, G, s.H, gh, b0, b1);
    if (gx) pack_vectors(w.bx, G, s.H, bx, b0, b1), pack_vectors(w.bh, G, s.H, bh, b0, b1);
    if (gc) pack_vectors(w.gc, 1, s.H, gc, b0, b1), pack_vectors(w.bc, 1, s.H, bc, b0, b1);
    if (y) output(s).pack(w.Wy, w.by, s.P, s.H, p0, p1);
  }

 private:
  void pack_bias(const Sizes& s, const LayerWeights<T>& w, long b0, long b1) {
    for (long b = b0; b < b1; b++) {
      Vec<T> vx[G], vh[G], z[S];
      for (int g = 0; g < G; g++) {
        vx[g] = block_or_zero(w.bx + g * s.H, b, s.H);
        vh[g] = block_or_zero(w.bh + g * s.H, b, s.H);
      }
      Cell::bias(z, vx, vh);
      if (b < single) put_bias<Single<T, Cell>>(z, b);
      else put_bias<Paired<T, Cell>>(z, b);
    }
  }
  template <class Layout> void put_bias(const Vec<T> (&z)[S], long b) {
    Vec<T> sum[Layout::sums];
    Layout::merge(z, sum);
    for (int i = 0; i < Layout::sums; i++) store(bias + (b * S + i) * L, sum[i]);
  }
  void pack_products(const Sizes& s, const LayerWeights<T>& w, long b0, long b1) {
    const long before = b1 < single ? b1 : single;
    pack_panels<T, G>(w.Wx, s.H, s.I, x, b0, before);
    Cell::pack_hidden(w.Wh, s, h, b0, before);
    for (long b = b0 < before ? before : b0; b < b1; b++) {
      Paired<T, Cell>::pack(w.Wx, s.H, s.I, x + b * s.I * G * L, b);
      Paired<T, Cell>::pack(w.Wh, s.H, s.P, h + b * s.P * G * L, b);
    }
  }
};

}  // namespace backtime::BT_ISA
