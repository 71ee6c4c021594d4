// The tiles of a backward pass: dh = dz Wh of the step after, then the cell's arithmetic on the registers.
#pragma once
#include "norm_rows.hpp"
#include "product.hpp"
#include "span.hpp"
#include "weights.hpp"

namespace backtime::BT_ISA {

template <class T, class Cell> struct BackwardPass {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  const BackwardCall<T>& call;
  const Sizes& s;
  const Options<T>& o;
  const T *Wh, *Wy, *Wn;  // transposed panels; Wy: of the output product; Wn: of the candidate of gru_before
  const T* p;             // (nb, 3, L) peepholes
  const T* into;          // (R, P) h before under mask and cuts, or null: then it is y and h0
  T* dz;                  // (nb, R, S, L)
  T *dcell, *direct;      // (nb, B, L): dc of the step before; (np, B, L): dh that goes past Wh; null for cells without
  T* dq;                  // (np, R, 1, L) before g of the output product, or null without one
  T* dh;                  // (nb, B, L) dh of a step, for layer norm, which reads it row by row; else null
  T *dzx, *dzh;           // (nb, R, G, L) each before layer norm, or null
  T* partial;             // (np, B, L) a product after some of its parts

  // The rows of step k from `row` on: whether they go on from step k - 1, and whether they reach step k + 1.
  Span<T> span(long k, bool going_on, bool next) const {
    const Steps& steps = s.steps;
    const long t = steps.time(k), at = k < 0 ? 0 : steps.start(t), before = going_on ? steps.start(steps.time(k - 1)) : 0;
    Span<T> span{at, at, at};
    span.before = going_on ? call.y + before * call.ldy : call.h0;
    span.before_ld = going_on ? call.ldy : s.P;
    span.c_from = going_on ? steps.B + before : 0;
    span.c_to = steps.B + at;
    span.next = next ? steps.start(steps.time(k + 1)) : -1;
    return span;
  }
  T* carried(T* buffer, long row, long block) const { return buffer + (block * s.steps.B + row) * L; }
  bool cut(long at) const { return o.cut && o.cut[at]; }
  Vec<T> before(const Span<T>& span, long row, long block) const {
    return cut(span.at + row) ? Vec<T>{} : load_n(span.before + row * span.before_ld + block * L, lanes_in<T>(block, s.P));
  }

  // A part of the product that reaches h of rows whose next step begins with row `next`; with the last one through mask and cut.
  template <int M, int J> BT_INLINE void product(Tile<T, M, J, 1>& tile, long row, long next, long block, Part part) const {
    const long R = s.rows(), at = next + row;
    if constexpr (Cell::two_products) multiply_gates<Straight, 2, S>(tile, dz, R, at, s.H, Wh, block, part);
    else if constexpr (S == G) multiply_gates<Straight, G, G>(tile, dzh ? dzh : dz, R, at, s.H, Wh, block, part);
    else if (dzh) multiply_gates<Straight, G, G>(tile, dzh, R, at, s.H, Wh, block, part);
    else multiply_gates<typename Cell::HSlot, G, S>(tile, dz, R, at, s.H, Wh, block, part);
    if (part.past == blocks_of<T>(s.H) && (o.h_mask || o.cut))
      for (int m = 0; m < M; m++)
        for (int j = 0; j < J; j++) tile.z[m][j][0] = masked_noinline(tile.z[m][j][0], row + m, at + m, block + j);
  }
  BT_NOINLINE Vec<T> masked_noinline(Vec<T> dh, long row, long at, long block) const { return masked(o, dh, row, at, block, s.P); }

  // The cell's derivative: gates become dz.
  BT_INLINE void finish(const Span<T>& span, Vec<T> dh, Vec<T> bypass, long row, long block) const {
    Vec<T> z[S], c{}, c_before{}, h_before{}, dc{}, past{};
    const long slot = block * s.rows() + span.at + row;
    for (int i = 0; i < S; i++) z[i] = load(call.kept.gates + (slot * S + i) * L);
    if constexpr (Cell::has_cell) {
      load_cells(span, z, c, c_before, row, block);
      dc = load(carried(dcell, row, block));
      if (o.keeps_c) past = kept_c(dc, span.at + row, block), dc -= past;
    }
    if constexpr (Cell::has_direct) h_before = before(span, row, block);
    Cell::backward_output(z, dh, c, dc);
    Cell::backward_update(cell_options(block), z, dh, c_before, h_before, dc, bypass);
    for (int i = 0; i < S; i++) store(dz + (slot * S + i) * L, z[i]);
    hand_back(span, dc + past, bypass, row, block);
  }
  BT_NOINLINE void finish_noinline(const Span<T>& span, Vec<T> dh, long row, long block) const { finish(span, dh, Vec<T>{}, row, block); }
  CellOptions<T> cell_options(long block) const { return {o.activation, o.coupled, p ? p + block * 3 * L : nullptr}; }

  BT_NOINLINE Vec<T> kept_c(Vec<T> dc, long at, long block) const { return dc * share_kept(o.keep_c, o.keep_c_rows, at, block, s.H); }
  BT_NOINLINE Vec<T> kept_h(Vec<T> dh, long at, long block) const { return dh * share_kept(o.keep_h, o.keep_h_rows, at, block, s.P); }

  // c before and c after, as the output gate saw it.
  BT_INLINE void load_cells(const Span<T>& span, const Vec<T> (&z)[S], Vec<T>& c, Vec<T>& c_before, long row, long block) const {
    const T* cell = call.kept.cells + block * (s.steps.B + s.rows()) * L;
    if (!cut(span.at + row)) c_before = load(cell + (span.c_from + row) * L);
    c = o.keeps_c ? fma<T>(z[1], c_before, z[0] * z[2]) : load(cell + (span.c_to + row) * L);
  }
  BT_INLINE void hand_back(const Span<T>& span, Vec<T> dc, Vec<T> bypass, long row, long block) const {
    const bool stop = cut(span.at + row);
    if constexpr (Cell::has_cell) store(carried(dcell, row, block), stop ? Vec<T>{} : dc);
    if (direct && !dq) store(carried(direct, row, block), stop ? Vec<T>{} : bypass);
  }
};

// dh of one step, from the step after, from y's gradient and from what goes past Wh.
template <class T, class Cell> struct HiddenTiles {
  static constexpr int L = LANES<T>;
  const BackwardPass<T, Cell>& pass;
  const Span<T> span;
  const Part part;

  template <int M, int J> void tile(long row, long block) {
    const bool last = part.past == blocks_of<T>(pass.s.H);
    if (last) fetch<M, J>(row, block);
    Tile<T, M, J, 1> dh;  // the product is summed from zero: dy is often much larger than its terms
    dh.clear();
    if (part.first)
      for (int m = 0; m < M; m++)
        for (int j = 0; j < J; j++) dh.z[m][j][0] = load(pass.carried(pass.partial, row + m, block + j));
    if (span.next >= 0) pass.product(dh, row, span.next, block, part);
    if (!last) return put_aside(dh, row, block);
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) arrived(dh.z[m][j][0] + past_product(row + m, block + j), row + m, block + j);
  }

 private:
  template <int M, int J> BT_INLINE void put_aside(const Tile<T, M, J, 1>& dh, long row, long block) const {
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) store(pass.carried(pass.partial, row + m, block + j), dh.z[m][j][0]);
  }
  // What the cell's arithmetic will read, into the first cache while the product is made.
  template <int M, int J> BT_INLINE void fetch(long row, long block) const {
    constexpr int S = Cell::S;
    const auto& call = pass.call;
    const long R = pass.s.rows();
    for (int j = 0; j < J; j++) {
      const T* gates = call.kept.gates + ((block + j) * R + span.at + row) * S * L;
      for (int i = 0; i < M * S * L; i += 64 / sizeof(T)) __builtin_prefetch(gates + i);
    }
    if (call.dy)
      for (int m = 0; m < M; m++) __builtin_prefetch(call.dy + (span.at + row + m) * call.lddy + block * L);
  }
  BT_INLINE Vec<T> past_product(long row, long block) const {  // what reaches h_t other than through dz_{t+1}
    const auto& call = pass.call;
    const long P = pass.s.P;
    Vec<T> dh = block_or_zero(call.dy ? call.dy + (span.at + row) * call.lddy : nullptr, block, P);
    if (span.next < 0) dh += block_or_zero(call.dhn ? call.dhn + row * P : nullptr, block, P);
    else if (pass.direct) dh += load(pass.carried(pass.direct, row, block));
    return dh;
  }
  BT_INLINE void arrived(Vec<T> dh, long row, long block) const {
    Vec<T> bypass{};
    if (pass.o.keeps_h) bypass = pass.kept_h(dh, span.at + row, block), dh -= bypass;
    if (Cell::has_output && pass.dq) return before_output(dh, bypass, row, block);
    if (pass.dh) return store(pass.carried(pass.dh, row, block), dh), keep_direct(bypass, row, block);
    if constexpr (Cell::two_products) update_and_candidate(dh, bypass, row, block);
    else pass.finish(span, dh, bypass, row, block);
  }
  BT_NOINLINE void keep_direct(Vec<T> bypass, long row, long block) const {
    if (pass.direct) store(pass.carried(pass.direct, row, block), pass.cut(span.at + row) ? Vec<T>{} : bypass);
  }
  BT_NOINLINE void before_output(Vec<T> dh, Vec<T> bypass, long row, long block) const {  // h = g(q): dq, in the place of dh
    const long P = pass.s.P, at = span.at + row;
    const Vec<T> h = load_n(pass.call.y + at * pass.call.ldy + block * L, lanes_in<T>(block, P));
    store(pass.dq + (block * pass.s.rows() + at) * L, gradient<T>(pass.o.output, h, dh));
    keep_direct(bypass, row, block);
  }
  // gru_before: the gates that the candidate's own product does not reach; r follows in ResetTiles.
  void update_and_candidate(Vec<T> dh, Vec<T> bypass, long row, long block) const {
    const long slot = (block * pass.s.rows() + span.at + row) * 3 * L;
    const Vec<T> one = broadcast<T>(T(1)), z = load(pass.call.kept.gates + slot + L), n = load(pass.call.kept.gates + slot + 2 * L);
    store(pass.dz + slot + L, dh * (pass.before(span, row, block) - n) * z * (one - z));
    store(pass.dz + slot + 2 * L, dh * (one - z) * (one - n * n));
    store(pass.carried(pass.direct, row, block), fma<T>(dh, z, bypass));
  }
};

// dh0 of the sequences that start at the step whose first row is span.next.
template <class T, class Cell> struct StartTiles {
  static constexpr int L = LANES<T>;
  const BackwardPass<T, Cell>& pass;
  const long next;
  template <int M, int J> void tile(long row, long block) {
    Tile<T, M, J, 1> dh;
    dh.clear();
    pass.product(dh, row, next, block, {0, blocks_of<T>(pass.s.H)});
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) {
        Vec<T> sum = dh.z[m][j][0];
        if (pass.direct) sum += load(pass.carried(pass.direct, row + m, block + j));
        store_n(pass.call.dh0 + (row + m) * pass.s.P + (block + j) * L, sum, lanes_in<T>(block + j, pass.s.P));
      }
  }
};

// From the output product's dq back to the cell: d inner = dq Wy.
template <class T, class Cell> struct InnerTiles {
  static constexpr int L = LANES<T>;
  const BackwardPass<T, Cell>& pass;
  const Span<T> span;
  template <int M, int J> void tile(long row, long block) {
    Tile<T, M, J, 1> dh;
    dh.clear();
    multiply_gates<Straight, 1, 1>(dh, pass.dq, pass.s.rows(), span.at + row, pass.s.P, pass.Wy, block, {0, blocks_of<T>(pass.s.P)});
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++)
        if (pass.dh) store(pass.carried(pass.dh, row + m, block + j), dh.z[m][j][0]);
        else pass.finish_noinline(span, dh.z[m][j][0], row + m, block + j);
  }
};

}  // namespace backtime::BT_ISA
