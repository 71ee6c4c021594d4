// One layer and direction, backward through time: dh = dz Wh is all that stays inside the loop; every other product follows
// it, over all rows at once (gradients.hpp). Equations: docs/rnn.md, gru.md, lstm.md.
#pragma once
#include "gradients.hpp"
#include "norm_backward.hpp"
#include "plan.hpp"

namespace backtime::BT_ISA {

template <class T, class Cell> class Backward {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  const BackwardCall<T>& call;
  const Sizes& s;
  const Steps& steps;
  const long nb, np, ni, R;
  const Plan plan;
  Buffer<T> Wh, Wy, Wn, Wx, p, into, dz, dcell, direct, dq, dh, dzx, dzh, partial, dnc;
  BackwardPass<T, Cell> pass;
  Gradients<T, Cell> gradients;

 public:
  Backward(const BackwardCall<T>& c, int threads)
      : call(c), s(c.sizes), steps(s.steps), nb(blocks_of<T>(s.H)), np(blocks_of<T>(s.P)), ni(blocks_of<T>(s.I)), R(s.rows()),
        plan(plan_backward<T>(s, G, threads)), Wh(np * nb * G * L * L), Wy(c.weights.Wy ? nb * np * L * L : 0),
        Wn(Cell::two_products ? nb * nb * L * L : 0), Wx(c.dx ? ni * nb * G * L * L : 0), p(c.weights.p ? nb * 3 * L : 0),
        into(scattered() ? R * s.P : 0), dz(in_place() ? 0 : nb * R * S * L), dcell(Cell::has_cell ? nb * steps.B * L : 0),
        direct(Cell::has_direct || c.options.keeps_h ? np * steps.B * L : 0), dq(c.weights.Wy ? np * R * L : 0),
        dh(c.weights.gx ? nb * steps.B * L : 0), dzx(c.weights.gx ? nb * R * G * L : 0), dzh(dzx.size()), partial(np * steps.B * L),
        dnc(c.weights.gc ? nb * R * L : 0), pass{c,
                                                 s,
                                                 c.options,
                                                 Wh.data(),
                                                 Wy.data(),
                                                 Wn.data(),
                                                 p.data(),
                                                 into.data(),
                                                 dz ? dz.data() : c.kept.gates,
                                                 dcell.data(),
                                                 direct.data(),
                                                 dq.data(),
                                                 dh.data(),
                                                 dzx.data(),
                                                 dzh.data(),
                                                 partial.data()},
        gradients(pass, Wx.data(), dnc.data()) {}
  int threads() const { return plan.threads; }
  double flops() const { return 4.0 * R * G * s.H * (s.P + (call.x ? s.I : 0)); }

  void run(const Member& me) {
    const FlushDenormals flush;
    start(me);
    me.wait();
    Share mine{0, steps.B, 0, nb, 0, np};
    if (plan.by_rows) share_sequences(me, steps, mine.r0, mine.r1);
    else me.share(nb, 1, mine.b0, mine.b1), me.share(np, 1, mine.p0, mine.p1);
    for (long k = steps.T - 1; k >= -1; k--) {
      if (call.dh0) start_gradient(mine, k + 1);
      if (k >= 0) step(me, mine, k);
    }
    me.wait();
    gradients.run(me);
  }

  void finish() {
    gradients.finish();
    if (!call.dh0) return;
    for (long r = steps.T ? steps.size(0) : 0; r < steps.B; r++)  // sequences of length zero
      for (long i = 0; i < s.P; i++) call.dh0[r * s.P + i] = call.dhn ? call.dhn[r * s.P + i] : T(0);
    if constexpr (Cell::has_cell)
      for (long b = 0; b < nb; b++)
        for (long r = 0; r < steps.B; r++) store_n(call.dc0 + r * s.H + b * L, load(pass.carried(dcell.data(), r, b)), lanes_in<T>(b, s.H));
  }

 private:
  struct Share {
    long r0, r1, b0, b1, p0, p1;  // sequences, blocks of hidden units, blocks of outputs
  };
  bool in_place() const {  // a step's gates are read just before its dz is written, but for peepholes that make c from them again
    return call.last_use && !(call.weights.p && call.options.keeps_c);
  }
  bool scattered() const {  // whether what Wh multiplied lies other than as h0 and then y
    return call.options.h_mask || call.options.cut || steps.offsets || steps.reverse;
  }

  void start(const Member& me) {
    long b0, b1, p0, p1, i0, i1, r0, r1;
    me.share(nb, 1, b0, b1), me.share(np, 1, p0, p1), me.share(ni, 1, i0, i1), me.share(steps.B, 1, r0, r1);
    const LayerWeights<T>& w = call.weights;
    if constexpr (Cell::two_products) {
      pack_transposed<T, 2>(w.Wh, s.H, s.P, Wh.data(), p0, p1);
      pack_transposed<T, 1>(w.Wh + 2 * s.H * s.P, s.H, s.P, Wn.data(), p0, p1);
    } else {
      pack_transposed<T, G>(w.Wh, s.H, s.P, Wh.data(), p0, p1);
    }
    if (call.dx) pack_transposed<T, G>(w.Wx, s.H, s.I, Wx.data(), i0, i1);
    if (w.Wy) pack_transposed<T, 1>(w.Wy, s.P, s.H, Wy.data(), b0, b1);
    if (w.p) pack_vectors(w.p, 3, s.H, p.data(), b0, b1);
    if constexpr (Cell::has_cell)
      for (long b = b0; b < b1; b++)
        for (long r = 0; r < steps.B; r++)
          store(pass.carried(dcell.data(), r, b), block_or_zero(call.dcn ? call.dcn + r * s.H : nullptr, b, s.H));
    if (into)
      for (long k = 0; k < steps.T; k++) fill_into(k, r0, r1);
  }
  void fill_into(long k, long r0, long r1) {
    const long on = steps.going_on(k), all = steps.size(steps.time(k));
    for (long r = r0; r < r1 && r < all; r++) {
      const Span<T> span = pass.span(k, r < on, false);
      for (long b = 0; b < np; b++)
        store_n(into.data() + (span.at + r) * s.P + b * L, masked(call.options, pass.before(span, r, b), r, span.at + r, b, s.P),
                lanes_in<T>(b, s.P));
    }
  }

  void start_gradient(const Share& mine, long k) {  // of the sequences that start at step k
    if (k >= steps.T) return;
    const long t = steps.time(k), on = steps.going_on(k), all = steps.size(t);
    StartTiles<T, Cell> tiles{pass, steps.start(t)};
    for_tiles<1, 1>(mine.r0 < on ? on : mine.r0, mine.r1 < all ? mine.r1 : all, mine.p0, mine.p1, tiles);
  }
  void step(const Member& me, const Share& mine, long k) {
    const auto each_span = [&](auto&& f) {
      const long on = steps.going_on(k), next = steps.going_on(k + 1), all = steps.size(steps.time(k));
      const long edges[] = {0, on < next ? on : next, on < next ? next : on, all};
      for (int i = 0; i < 3; i++) {
        const long r0 = mine.r0 < edges[i] ? edges[i] : mine.r0, r1 = mine.r1 < edges[i + 1] ? mine.r1 : edges[i + 1];
        if (r0 < r1) f(pass.span(k, edges[i] < on, edges[i] < next), r0, r1);
      }
    };
    const auto others = [&] {
      if (!plan.by_rows) me.wait();
    };
    each_span([&](const Span<T>& span, long r0, long r1) {
      for_parts<T>(nb, span.next < 0 ? 0 : r1 - r0, S, [&](Part part) {
        HiddenTiles<T, Cell> tiles{pass, span, part};
        for_tiles<1, 1>(r0, r1, mine.p0, mine.p1, tiles);
      });
    });
    others();
    if constexpr (Cell::two_products) {
      each_span([&](const Span<T>& span, long r0, long r1) {
        ResetTiles<T> tiles{pass, span};
        for_tiles<1, 1>(r0, r1, mine.b0, mine.b1, tiles);
      });
      others();
    }
    if constexpr (Cell::has_output)
      if (call.weights.Wy) {
        each_span([&](const Span<T>& span, long r0, long r1) {
          InnerTiles<T, Cell> tiles{pass, span};
          for_tiles<1, 1>(r0, r1, mine.b0, mine.b1, tiles);
        });
        others();
      }
    if constexpr (!Cell::two_products)
      if (call.weights.gx) {
        each_span([&](const Span<T>& span, long r0, long r1) {
          long first = 0, past = r1 - r0;
          if (!plan.by_rows) me.share(past, 1, first, past);
          for (long r = r0 + first; r < r0 + past; r++) finish_normalised(pass, span, dnc.data(), r);
        });
        others();
      }
  }
};

}  // namespace backtime::BT_ISA
