// One layer, backward through time: dh = dz Wh is all that stays inside the loop; every other product follows it,
// over all rows at once. Equations: docs/rnn.md, gru.md, lstm.md.
#pragma once
#include "plan.hpp"
#include "product.hpp"

namespace backtime::BT_ISA {

template <class T, class Cell> struct Backward {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  const BackwardCall<T>& call;
  const T* Wh;         // transposed panels
  T* dz;               // (nb, R, S, L)
  T *dcell, *direct;   // (nb, B, L) each: dc of the step before, dh that bypasses Wh; null for cells without
  long t = 0;          // -1: only dh0 is left

  template <int M, int P> void tile(long row, long block) {
    const Sizes& s = call.sizes;
    const long at = t * s.B + row;
    Tile<T, M, P, 1> dh{};  // the product is summed from zero: dy is often much larger than its terms
    if (t + 1 < s.T) multiply_gates<typename Cell::HSlot, G, S>(dh, dz, s.rows(), at + s.B, s.H, Wh, block);
    for (int m = 0; m < M; m++)
      for (int p = 0; p < P; p++) {
        dh.z[m][p][0] += direct_part(row + m, at + m, block + p);
        if (t < 0) store_n(call.dh0 + (row + m) * s.H + (block + p) * L, dh.z[m][p][0], lanes_in<T>(block + p, s.H));
        else finish(dh.z[m][p][0], row + m, at + m, block + p);
      }
  }

 private:
  T* carried(T* buffer, long row, long block) { return buffer + (block * call.sizes.B + row) * L; }

  BT_INLINE Vec<T> direct_part(long row, long at, long block) {  // what reaches h_t other than through dz_{t+1}
    const Sizes& s = call.sizes;
    Vec<T> dh = block_or_zero(call.dy && t >= 0 ? call.dy + at * s.H : nullptr, block, s.H);
    if (t + 1 == s.T) dh += block_or_zero(call.dhn ? call.dhn + row * s.H : nullptr, block, s.H);
    else if constexpr (Cell::has_direct) dh += load(carried(direct, row, block));
    return dh;
  }
  BT_INLINE void finish(Vec<T> dh, long row, long at, long block) {
    const Sizes& s = call.sizes;
    const long slot = block * s.rows() + at;
    Vec<T> z[S], c{}, c_before{}, h_before{}, dc{}, bypass{};
    for (int i = 0; i < S; i++) z[i] = load(call.gates + (slot * S + i) * L);
    if constexpr (Cell::has_cell) {
      const T* cell = call.cells + (block * (s.B + s.rows()) + at) * L;
      c_before = load(cell), c = load(cell + s.B * L), dc = load(carried(dcell, row, block));
    }
    if constexpr (Cell::has_direct)
      h_before = block_or_zero(t ? call.y + (at - s.B) * s.H : call.h0 + row * s.H, block, s.H);
    Cell::backward(s.activation, z, dh, c, c_before, h_before, dc, bypass);
    for (int i = 0; i < S; i++) store(dz + (slot * S + i) * L, z[i]);
    if constexpr (Cell::has_cell) store(carried(dcell, row, block), dc);
    if constexpr (Cell::has_direct) store(carried(direct, row, block), bypass);
  }
};

// Everything that follows from dz: gradients of the weights, the biases and the input.
template <class T, class Cell> struct AfterLoop {
  static constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  using OfInput = WeightGradient<typename Cell::XSlot, G, S, T>;
  using OfHidden = WeightGradient<typename Cell::HSlot, G, S, T>;
  const BackwardCall<T>& call;
  const T *dz, *Wx;  // Wx: transposed panels, used when dx is wanted
  T *px, *ph;        // panels of dWx (nb, I, G, L) and dWh (nb, H, G, L)

  void gradients(const Member& me) {
    const Sizes& s = call.sizes;
    const long R = s.rows(), nb = blocks_of<T>(s.H), I = call.tokens ? 0 : s.I;
    // Columns of dWx and dWh stand in one row, in whole tiles, so that the members' shares are even.
    const long x_tiles = (I + OfInput::grain - 1) / OfInput::grain * OfInput::grain;
    long n0, n1, b0, b1;
    me.share(x_tiles + s.H, OfInput::grain, n0, n1);
    Buffer<T> scratch(OfInput::scratch(n1 - n0) + 1);
    const long x1 = n1 < I ? n1 : I, h0 = n0 > x_tiles ? n0 - x_tiles : 0, h1 = n1 - x_tiles;
    if (n0 < x1) OfInput{dz, {call.x, call.x + s.B * I, s.B, I}, px, R, s.H}.run(n0, x1, scratch.data());
    if (h0 < h1) OfHidden{dz, {call.h0, call.y, s.B, s.H}, ph, R, s.H}.run(h0, h1, scratch.data());
    me.share(nb, 1, b0, b1);
    if (call.tokens) scatter_gradient<typename Cell::XSlot, G, S>(dz, call.tokens, R, s.I, px, b0, b1);
    bias_gradient<typename Cell::XSlot, G, S>(dz, R, s.H, call.dbx, b0, b1);
    if constexpr (Cell::has_direct) bias_gradient<typename Cell::HSlot, G, S>(dz, R, s.H, call.dbh, b0, b1);
  }
  void input(const Member& me) {
    const Sizes& s = call.sizes;
    long r0, r1;
    me.share(s.rows(), MAX_ROWS, r0, r1);
    GatesProduct<typename Cell::XSlot, G, S, T> dx{dz, Wx, call.dx, s.rows(), s.H, s.I};
    for_tiles<1>(r0, r1, 0, blocks_of<T>(s.I), dx);
  }
  void unpack(const Member& me) {
    const Sizes& s = call.sizes;
    long b0, b1;
    me.share(blocks_of<T>(s.H), 1, b0, b1);
    unpack_panels<T, G>(px, s.H, s.I, call.dWx, b0, b1);
    unpack_panels<T, G>(ph, s.H, s.H, call.dWh, b0, b1);
  }
};

template <class T, class Cell> void backward(const BackwardCall<T>& call) {
  constexpr int L = LANES<T>, G = Cell::G, S = Cell::S;
  const Sizes& s = call.sizes;
  const long nb = blocks_of<T>(s.H), ni = blocks_of<T>(s.I), R = s.rows(), carry = nb * s.B * L;
  const Plan plan = plan_backward<T>(s, G, call.threads);
  Buffer<T> Wh(nb * nb * G * L * L), Wx(call.dx ? ni * nb * G * L * L : 0), dz(nb * R * S * L);
  Buffer<T> px(nb * s.I * G * L), ph(nb * s.H * G * L);
  Buffer<T> dcell(Cell::has_cell ? carry : 0), direct(Cell::has_direct ? carry : 0);

  parallel(plan.threads, [&](const Member& me) {
    const FlushDenormals flush;
    long b0, b1, i0, i1, r0 = 0, r1 = s.B;
    me.share(nb, 1, b0, b1);
    me.share(ni, 1, i0, i1);
    pack_transposed<T, G>(call.weights.Wh, s.H, s.H, Wh.data(), b0, b1);
    if (call.dx) pack_transposed<T, G>(call.weights.Wx, s.H, s.I, Wx.data(), i0, i1);
    if constexpr (Cell::has_cell)
      for (long b = b0; b < b1; b++)
        for (long r = 0; r < s.B; r++)
          store(dcell.data() + (b * s.B + r) * L, block_or_zero(call.dcn ? call.dcn + r * s.H : nullptr, b, s.H));
    me.wait();
    if (plan.by_rows) me.share(s.B, 1, r0, r1), b0 = 0, b1 = nb;
    Backward<T, Cell> pass{call, Wh.data(), dz.data(), dcell.data(), direct.data()};
    for (pass.t = s.T - 1; pass.t >= (call.dh0 ? -1 : 0); pass.t--) {
      for_tiles<1>(r0, r1, b0, b1, pass);
      if (!plan.by_rows) me.wait();
    }
    me.wait();
    AfterLoop<T, Cell> after{call, dz.data(), Wx.data(), px.data(), ph.data()};
    after.gradients(me);
    if (call.dx) after.input(me);
    me.wait();
    after.unpack(me);
  });
  if constexpr (!Cell::has_direct) std::memcpy(call.dbh, call.dbx, G * s.H * sizeof(T));  // one z, one gradient
  if (Cell::has_cell && call.dh0)
    for (long b = 0; b < nb; b++)
      for (long r = 0; r < s.B; r++)
        store_n(call.dc0 + r * s.H + b * L, load(dcell.data() + (b * s.B + r) * L), lanes_in<T>(b, s.H));
}

}  // namespace backtime::BT_ISA
