// The kernels of one instruction set: compiled once for each, with that set's compiler flags.
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
    default: return f(Rnn<T>{});
  }
}

template <class T> Lengths lengths(const Sizes& s) {
  return with_cell<T>(s, [&](auto cell) {
    using Cell = decltype(cell);
    const long width = blocks_of<T>(s.H) * LANES<T>;
    return Lengths{Panels<T, Cell>::length(s), s.rows() * width * Cell::S, Cell::has_cell ? (s.rows() + s.B) * width : 0};
  });
}
template <class T> void pack(const Sizes& s, const LayerWeights<T>& weights, T* panels) {
  with_cell<T>(s, [&](auto cell) { Panels<T, decltype(cell)>(panels, s).pack(s, weights, 0, blocks_of<T>(s.H)); });
}
template <class T> void run_forward(const ForwardCall<T>& call) {
  with_cell<T>(call.sizes, [&](auto cell) { forward<T, decltype(cell)>(call); });
}
template <class T> void run_backward(const BackwardCall<T>& call) {
  with_cell<T>(call.sizes, [&](auto cell) { backward<T, decltype(cell)>(call); });
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
  static constexpr Kernels<T> all{lengths<T>, pack<T>, run_forward<T>, run_backward<T>, softmax_cross_entropy<T>,
                                  LinearPanels<T>::length, linear_pack<T>, linear<T>, elementwise<T>, fma_peak<T>};
  return all;
}
template const Kernels<BT_NUMBER>& table<BT_NUMBER>();

}  // namespace backtime::BT_ISA
