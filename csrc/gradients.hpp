// What follows the time loop from dz: gradients of the weights and of the input, each one product or sum over all rows.
#pragma once
#include "gru_before.hpp"
#include "weight_gradient.hpp"

namespace backtime::BT_ISA {

template <class T, class Cell> class Gradients {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  using XSlot = typename Cell::XSlot;
  using HSlot = typename Cell::HSlot;
  static constexpr bool separate_biases = S > G;  // of the gru's candidate, which stand on two sides of r
  const BackwardPass<T, Cell>& pass;
  const BackwardCall<T>& call;
  const Sizes& s;
  const long R, nb;
  const T *Wx, *dnc;   // transposed panels, used when dx is wanted; (nb, R, L) by LN(c) gc + bc
  Buffer<T> px, ph, py;  // panels of dWx (nb, I, G, L), dWh (nb, P, G, L), dWy (np, H, 1, L)
  Buffer<T> columns, further;  // scratch, taken before the region: inside one nobody could catch bad_alloc

 public:
  Gradients(const BackwardPass<T, Cell>& pass, const T* Wx, const T* dnc)
      : pass(pass), call(pass.call), s(pass.s), R(s.rows()), nb(blocks_of<T>(s.H)), Wx(Wx), dnc(dnc), px(nb * s.I * G * L),
        ph(nb * s.P * G * L), py(pass.dq ? blocks_of<T>(s.P) * s.H * L : 0), columns((s.I + s.P + 2 * MAX_ACCUMULATORS) * ROW_CHUNK),
        further(Cell::two_products || pass.dq ? 2 * (s.P + s.H + 2 * MAX_ACCUMULATORS) * ROW_CHUNK : 0) {}

  void run(const Member& me) {
    if (pass.dzh) products<Straight, Straight, G>(me, pass.dzx, pass.dzh);
    else products<XSlot, HSlot, S>(me, pass.dz, pass.dz);
    sums(me);
    me.wait();
    unpack(me);
  }
  void finish() {
    if constexpr (!separate_biases) std::memcpy(call.d.bh, call.d.bx, G * s.H * sizeof(T));  // one z, one gradient
  }

 private:
  Rows<T> hidden() const {  // what Wh multiplied
    if (pass.into) return {pass.into, pass.into, 0, s.P, s.P};
    return {call.h0, call.y, s.steps.B, s.P, call.ldy};
  }

  template <class X, class H, int N> void products(const Member& me, const T* dzx, const T* dzh) {
    using OfInput = WeightGradient<X, G, N, T>;
    using OfHidden = WeightGradient<H, G, N, T>;
    const long I = call.tokens ? 0 : s.I;
    // Columns of dWx and dWh stand in one row, in whole tiles, so that the members' shares are even.
    const long x_tiles = (I + OfInput::grain - 1) / OfInput::grain * OfInput::grain;
    long n0, n1, b0, b1, r0, r1;
    me.share(x_tiles + (Cell::two_products ? 0 : s.P), OfInput::grain, n0, n1);
    T* scratch = columns.data() + n0 * ROW_CHUNK;
    const long x1 = n1 < I ? n1 : I, h0 = n0 > x_tiles ? n0 - x_tiles : 0, h1 = n1 - x_tiles;
    if (n0 < x1) OfInput{dzx, {call.x, call.x, 0, I, I}, px.data(), R, s.H}.run(n0, x1, scratch);
    if (h0 < h1) OfHidden{dzh, hidden(), ph.data(), R, s.H}.run(h0, h1, scratch);
    me.share(nb, 1, b0, b1);
    if (call.tokens) scatter_gradient<X, G, N>(dzx, call.tokens, R, s.I, px.data(), b0, b1);
    if (!call.dx) return;
    me.share(R, MAX_ROWS, r0, r1);
    GatesProduct<X, G, N, T>{dzx, Wx, call.dx, R, s.H, s.I}.run(r0, r1);
  }

  template <class Slot, int K, int N>
  void share_columns(const Member& me, const T* dz, Rows<T> x, T* panels, long H, T* scratch) {
    using Of = WeightGradient<Slot, K, N, T>;
    long n0, n1;
    me.share(x.N, Of::grain, n0, n1);
    if (n0 < n1) Of{dz, x, panels, R, H}.run(n0, n1, scratch + n0 * ROW_CHUNK);
  }

  void sums(const Member& me) {
    long b0, b1, p0, p1;
    me.share(nb, 1, b0, b1), me.share(blocks_of<T>(s.P), 1, p0, p1);
    bias_gradient<XSlot, G, S>(pass.dz, R, s.H, call.d.bx, b0, b1);
    if constexpr (separate_biases) bias_gradient<HSlot, G, S>(pass.dz, R, s.H, call.d.bh, b0, b1);
    const Rows<T> inner{call.kept.inner, call.kept.inner, 0, s.H, s.H};
    if constexpr (Cell::two_products) {
      share_columns<Straight, 2, S>(me, pass.dz, hidden(), ph.data(), s.H, further.data());
      share_columns<typename ResetTiles<T>::Candidate, 1, S>(me, pass.dz, inner, ph.data() + GruBefore<T>::candidate_panels(s), s.H,
                                                             further.data() + (s.P + 2 * MAX_ACCUMULATORS) * ROW_CHUNK);
    }
    if (pass.dq) share_columns<Straight, 1, 1>(me, pass.dq, inner, py.data(), s.P, further.data());
    if (pass.dq && call.d.by) bias_gradient<Straight, 1, 1>(pass.dq, R, s.P, call.d.by, p0, p1);
    if (pass.dzh) gains(b0, b1);
    if constexpr (Cell::has_cell)
      if (pass.p) peepholes(b0, b1);
  }
  void gains(long b0, long b1) {
    const NormRows<T, Cell> norm(call.kept.norm, s, R, R);
    gain_gradient<XSlot, G, S>(pass.dz, norm.x, R, s.H, call.d.gx, b0, b1);
    gain_gradient<HSlot, G, S>(pass.dz, norm.h, R, s.H, call.d.gh, b0, b1);
    if constexpr (Cell::has_cell) {
      gain_gradient<Straight, 1, 1>(dnc, norm.c, R, s.H, call.d.gc, b0, b1);
      bias_gradient<Straight, 1, 1>(dnc, R, s.H, call.d.bc, b0, b1);
    }
  }
  void peepholes(long b0, long b1) {  // dp_i, dp_f: dz by c before; dp_o: dz by c
    for (long b = b0; b < b1; b++) {
      Vec<T> total[3]{}, sum[3]{};
      long n = 0;
      for (long t = 0; t < s.steps.T; t++) {
        const long k = s.steps.time(t), on = s.steps.going_on(k);  // time and its inverse are the same
        for (long r = 0; r < s.steps.size(t); r++) {
          const Span<T> span = pass.span(k, r < on, false);
          const long slot = (b * R + span.at + r) * S * L;
          Vec<T> z[S], c{}, c_before{};
          for (int i = 0; i < S; i++) z[i] = load(call.kept.gates + slot + i * L);
          pass.load_cells(span, z, c, c_before, r, b);
          sum[0] = fma<T>(load(pass.dz + slot), c_before, sum[0]);
          sum[1] = fma<T>(load(pass.dz + slot + L), c_before, sum[1]);
          sum[2] = fma<T>(load(pass.dz + slot + 3 * L), c, sum[2]);
          if (++n % BIAS_CHUNK == 0 || n == R)
            for (int i = 0; i < 3; i++) total[i] += sum[i], sum[i] = Vec<T>{};
        }
      }
      for (int i = 0; i < 3; i++) store_n(call.d.p + i * s.H + b * L, total[i], lanes_in<T>(b, s.H));
    }
  }

  void unpack(const Member& me) {
    long b0, b1, p0, p1;
    me.share(nb, 1, b0, b1), me.share(blocks_of<T>(s.P), 1, p0, p1);
    unpack_panels<T, G>(px.data(), s.H, s.I, call.d.Wx, b0, b1);
    if constexpr (Cell::two_products) {
      unpack_panels<T, 2>(ph.data(), s.H, s.P, call.d.Wh, b0, b1);
      unpack_panels<T, 1>(ph.data() + GruBefore<T>::candidate_panels(s), s.H, s.P, call.d.Wh + 2 * s.H * s.P, b0, b1);
    } else {
      unpack_panels<T, G>(ph.data(), s.H, s.P, call.d.Wh, b0, b1);
    }
    if (pass.dq) unpack_panels<T, 1>(py.data(), s.P, s.H, call.d.Wy, p0, p1);
  }
};

}  // namespace backtime::BT_ISA
