// The kernels of one instruction set: compiled once for each, with that set's compiler flags.
#include <algorithm>

#include "backward.hpp"
#include "forward.hpp"
#include "gru.hpp"
#include "head.hpp"
#include "lstm.hpp"
#include "peak.hpp"
#include "rnn.hpp"

namespace backtime::BT_ISA {
namespace {

// Calls f with the cell that the sizes name.
template <class T, class F> auto with_cell(const Sizes& s, F&& f) {
  switch (s.cell) {
    case CellKind::lstm: return f(Lstm<T>{});
    case CellKind::gru: return f(Gru<T>{});
    case CellKind::gru_before: return f(GruBefore<T>{});
    default: return f(Rnn<T>{});
  }
}

template <class T> Lengths lengths(const Sizes& s, const LayerWeights<T>& w) {
  return with_cell<T>(s, [&](auto cell) {
    using Cell = decltype(cell);
    const long R = s.rows(), width = blocks_of<T>(s.H) * LANES<T>;
    PackedWeights<T, Cell> weights(nullptr, s, w);
    return Lengths{weights.place(nullptr, s, w), R * width * Cell::S, Cell::has_cell ? (R + s.steps.B) * width : 0,
                   Cell::two_products || w.Wy ? R * s.H : 0, w.gx ? NormRows<T, Cell>::length(s, R, R) : 0};
  });
}
template <class T> void pack(const Sizes& s, const LayerWeights<T>& weights, T* panels) {
  Barrier alone;
  with_cell<T>(s, [&](auto cell) { PackedWeights<T, decltype(cell)>(panels, s, weights).pack(s, weights, Member{0, 1, &alone}); });
}

// Runs one pass on the team, or two at once, each on one half of it.
template <class Pass> void run(Pass& pass) {
  parallel(pass.threads(), pass.flops(), [&](const Member& me) { pass.run(me); });
  pass.finish();
}
template <class Pass> void run_both(Pass& first, Pass& second, int threads) {
  Barrier barriers[2];
  // The directions wait for each other at the end alone: a second member is worth its waking however short the steps are.
  const int members = first.flops() < 1e6 ? 1 : std::min(threads, first.threads() + second.threads());
  parallel(members, first.flops() + second.flops(), [&](const Member& me) {
    const int half = me.count / 2;
    if (half == 0 || me.id < half) first.run({me.id, half ? half : 1, &barriers[0]});
    if (half == 0) second.run({0, 1, &barriers[1]});
    if (half && me.id >= half) second.run({me.id - half, me.count - half, &barriers[1]});
  });
  first.finish();
  second.finish();
}
template <template <class, class> class Pass, class T, class Call> void run_calls(const Call* calls, int n, int threads) {
  const Sizes& s = calls[0].sizes;
  with_cell<T>(s, [&](auto cell) {
    using Cell = decltype(cell);
    if (n == 1) {
      Pass<T, Cell> pass(calls[0], threads);
      return run(pass);
    }
    Pass<T, Cell> first(calls[0], (threads + 1) / 2), second(calls[1], (threads + 1) / 2);
    run_both(first, second, threads);
  });
}
template <class T> void run_forward(const ForwardCall<T>* calls, int n, int threads) { run_calls<Forward, T>(calls, n, threads); }
template <class T> void run_backward(const BackwardCall<T>* calls, int n, int threads) { run_calls<Backward, T>(calls, n, threads); }

template <class T> void add(T* to, const T* from, long n, int threads) {
  parallel(n < 100000 ? 1 : threads, n, [&](const Member& me) {
    long first, last;
    me.share(n, LANES<T>, first, last);
    for (long i = first; i < last; i += LANES<T>) {
      const int lanes = lanes_in<T>(0, last - i);
      store_n(to + i, load_n(to + i, lanes) + load_n(from + i, lanes), lanes);
    }
  });
}
template <class T> void linear_pack(long N, long K, const T* W, const T* b, T* panels) {
  LinearPanels<T>(panels, N, K).pack(W, b, N, K, 0, blocks_of<T>(N));
}
template <class T> void elementwise(int function, const T* x, T* y, long n) {
  const FlushDenormals flush;
  for (long i = 0; i < n; i += LANES<T>) {
    const int lanes = lanes_in<T>(i / LANES<T>, n);
    const Vec<T> v = load_n(x + i, lanes);
    store_n(y + i, function == 0 ? exp<T>(v) : function == 1 ? sigmoid<T>(v) : tanh<T>(v), lanes);
  }
}

}  // namespace

template <class T> const Kernels<T>& table() {
  static constexpr Kernels<T> all{
      lengths<T>,     pack<T>,   run_forward<T>, run_backward<T>, add<T>, softmax_cross_entropy<T>, LinearPanels<T>::length,
      linear_pack<T>, linear<T>, elementwise<T>, fma_peak<T>};
  return all;
}
template const Kernels<BT_NUMBER>& table<BT_NUMBER>();

}  // namespace backtime::BT_ISA
