// One layer and direction, forward through time. Equations: docs/rnn.md, gru.md, lstm.md; here is only how they are scheduled.
#pragma once
#include <utility>

#include "forward_tiles.hpp"
#include "gru_before.hpp"
#include "norm.hpp"
#include "plan.hpp"

namespace backtime::BT_ISA {

template <class T, class Cell> class Forward {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  using Pass = ForwardPass<T, Cell>;
  const ForwardCall<T>& call;
  const Sizes& s;
  const Steps& steps;
  const long nb, R;
  const Plan plan;
  Buffer<T> packed, gates, cells, inner, norm, into;
  Pass pass;

 public:
  Forward(const ForwardCall<T>& c, int threads)
      : call(c), s(c.sizes), steps(s.steps), nb(blocks_of<T>(s.H)), R(s.rows()),
        plan(plan_forward<T>(s, G, threads, c.tokens != nullptr, Cell::two_products || c.weights.gx)), pass(c, plan.hoist) {
    if (!c.panels) packed = Buffer<T>(pass.w.place(nullptr, s, c.weights)), pass.w.place(packed.data(), s, c.weights);
    const long held = pass.saved ? R : plan.hoist ? most_rows_in_chunk() : 0;  // rows of gates
    pass.gate_rows = held, pass.cell_rows = steps.B + (pass.saved ? R : 0);
    const auto own = [&](T* kept, Buffer<T>& buffer, long length) {
      if (!kept && length) buffer = Buffer<T>(length);
      return kept ? kept : buffer.data();
    };
    pass.gates = own(c.kept.gates, gates, held * nb * S * L);
    pass.cells = own(c.kept.cells, cells, Cell::has_cell ? pass.cell_rows * nb * L : 0);
    pass.inner = own(c.kept.inner, inner, Cell::two_products || c.weights.Wy ? steps.B * s.H : 0);
    pass.norm = {own(c.kept.norm, norm, c.weights.gx ? NormRows<T, Cell>::length(s, held, steps.B) : 0), s, held, pass.saved ? R : steps.B};
    pass.into = own(nullptr, into, c.options.h_mask || c.options.cut ? R * s.P : 0);
  }
  int threads() const { return plan.threads; }
  double flops() const { return 2.0 * R * G * s.H * (s.P + (call.x ? s.I : 0)); }

  void run(const Member& me) {
    const FlushDenormals flush;
    start(me);
    me.wait();
    Share mine{0, steps.B, 0, nb, 0, blocks_of<T>(s.P)};
    if (plan.by_rows) share_sequences(me, steps, mine.r0, mine.r1);
    else me.share(mine.b1, 1, mine.b0, mine.b1), me.share(mine.p1, 1, mine.p0, mine.p1);
    long gate_first = 0;
    for (long k = 0; k < steps.T; k++) {
      if (plan.hoist && k % plan.chunk == 0) gate_first = hoist(me, k);
      step(me, mine, k, gate_first);
    }
  }

  void finish() {  // the last state: of each sequence after its last step
    if (call.hn != call.h0)
      for (long r = steps.T ? steps.size(0) : 0; r < steps.B; r++) std::memcpy(call.hn + r * s.P, call.h0 + r * s.P, s.P * sizeof(T));
    for (long k = 0; k < steps.T; k++) {
      const long t = steps.time(k), at = steps.start(t);
      for (long r = steps.going_on(k + 1); r < steps.size(t); r++) {
        std::memcpy(call.hn + r * s.P, call.y + (at + r) * call.ldy, s.P * sizeof(T));
        if (Cell::has_cell && pass.saved) copy_cell_out(r, steps.B + at + r);
      }
    }
    if constexpr (Cell::has_cell)
      for (long r = pass.saved && steps.T ? steps.size(0) : 0; r < steps.B; r++) copy_cell_out(r, r);
  }

 private:
  struct Share {
    long r0, r1, b0, b1, p0, p1;  // sequences, blocks of hidden units, blocks of outputs
  };

  void start(const Member& me) {
    long r0, r1;
    if (packed) pass.w.pack(s, call.weights, me);
    me.share(steps.B, 1, r0, r1);
    if constexpr (Cell::has_cell)
      for (long b = 0; b < nb; b++)
        for (long r = r0; r < r1; r++) store(pass.cells + (b * pass.cell_rows + r) * L, block_or_zero(call.c0 + r * s.H, b, s.H));
    if (pass.into)
      for (long k = 0; k < steps.T; k++) {
        const long t = steps.time(k), at = steps.start(t), first = steps.going_on(k);
        for (long r = r0 < first ? first : r0; r < r1 && r < steps.size(t); r++)
          for (long b = 0; b < blocks_of<T>(s.P); b++) pass.feed_back(block_or_zero(call.h0 + r * s.P, b, s.P), r, at + r, b);
      }
  }
  void copy_cell_out(long r, long from) {
    for (long b = 0; b < nb; b++)
      store_n(call.cn + r * s.H + b * L, load(pass.cells + (b * pass.cell_rows + from) * L), lanes_in<T>(b, s.H));
  }
  // Rows [first, last) of the chunk that begins with step k: in both directions they stand together.
  std::pair<long, long> chunk_rows(long k) const {
    const long end = k + plan.chunk < steps.T ? k + plan.chunk : steps.T, t = steps.time(k), u = steps.time(end - 1);
    return {steps.start(t < u ? t : u), steps.start((t < u ? u : t) + 1)};
  }
  long most_rows_in_chunk() const {
    const long most = steps.T ? plan.chunk * steps.size(0) : 0;
    return most < R ? most : R;
  }

  // The input product of a chunk of steps; returns the row that the gates' buffer begins with.
  long hoist(const Member& me, long k) {
    const auto [begin, end] = chunk_rows(k);
    const long gate_first = pass.saved ? 0 : begin;
    if (k && !pass.saved) me.wait();  // the others may still read the chunk before
    long first, past;
    me.share(end - begin, MAX_ROWS, first, past);
    const long some = call.x ? rows_in_cache<T>(s.I) : past - first;  // of integers there are no rows to keep in cache
    for (long r = begin + first; r < begin + past; r += some)
      for_blocks<InputTiles>(pass, gate_first, r, r + some < begin + past ? r + some : begin + past, 0, nb);
    if (call.weights.gx) pass.norm.normalise_input(gate_first, begin + first, begin + past);
    me.wait();
    return gate_first;
  }

  void step(const Member& me, const Share& mine, long k, long gate_first) {
    const auto each_span = [&](auto&& f) {
      const long on = steps.going_on(k), all = steps.size(steps.time(k)), middle = mine.r1 < on ? mine.r1 : on;
      if (mine.r0 < middle) f(pass.span(k, true, gate_first), mine.r0, middle);
      const long r0 = mine.r0 < on ? on : mine.r0, r1 = mine.r1 < all ? mine.r1 : all;
      if (r0 < r1) f(pass.span(k, false, gate_first), r0, r1);
    };
    const auto others = [&] {
      if (!plan.by_rows) me.wait();
    };
    if constexpr (Cell::two_products) {
      each_span([&](const Span<T>& span, long r0, long r1) {
        ResetUpdateTiles<T> tiles{pass, span};
        for_tiles<2, 2>(r0, r1, mine.b0, mine.b1, tiles);
      });
      others();
      each_span([&](const Span<T>& span, long r0, long r1) {
        CandidateTiles<T> tiles{pass, span};
        for_tiles<1, 1>(r0, r1, mine.b0, mine.b1, tiles);
      });
    } else {
      const long bytes = (mine.b1 - mine.b0) * s.P * G * L * static_cast<long>(sizeof(T));  // of weights that a step reads
      each_span([&](const Span<T>& span, long r0, long r1) {
        for_blocks<CellTiles>(pass, span, r0, r1, mine.b0, mine.b1, sweep(k, r1 - r0, bytes));
      });
      if (call.weights.gx) {
        others();
        each_span([&](const Span<T>& span, long r0, long r1) {
          long first = 0, past = r1 - r0;
          if (!plan.by_rows) me.share(past, 1, first, past);
          for (long r = r0 + first; r < r0 + past; r++) finish_normalised(pass, span, r);
        });
      }
    }
    if constexpr (Cell::has_output)
      if (call.weights.Wy) {
        others();
        each_span([&](const Span<T>& span, long r0, long r1) {
          OutputTiles<T, Cell> tiles{pass, span, pass.w.output(s)};
          for_tiles<1, 1>(r0, r1, mine.p0, mine.p1, tiles);
        });
      }
    others();
  }
};

}  // namespace backtime::BT_ISA
