// Output unit: z = h Wy^T + by with softmax cross-entropy. Derivation: docs/losses.md.
//
// The (R, V) logits are never stored: a chunk of rows goes through product, softmax and all three gradients while
// it is in cache, and its logits become y - t in place.
#pragma once
#include "functions.hpp"
#include "linear.hpp"
#include "weight_gradient.hpp"

namespace backtime::BT_ISA {

// Softmax of row r of z (gate rows of R rows), its loss, and z := weight * (y - t).
template <class T> T softmax_row(T* z, long R, long r, long V, int64_t target, T weight, bool gradient) {
  constexpr int L = LANES<T>;
  const long nv = blocks_of<T>(V), last = nv - 1;
  const auto at = [&](long v) { return z + (v * R + r) * L; };
  const T at_target = at(target / L)[target % L];
  for (int i = lanes_in<T>(last, V); i < L; i++) at(last)[i] = -__builtin_inf();  // lanes that are no symbol
  Vec<T> most = load(at(0));
  for (long v = 1; v < nv; v++) {
    const Vec<T> x = load(at(v));
    most = most > x ? most : x;
  }
  const T top = max_lanes<T>(most);
  const Vec<T> shift = broadcast(top);
  Vec<T> sum{};
  for (long v = 0; v < nv; v++) {
    const Vec<T> e = exp<T>(load(at(v)) - shift);
    store(at(v), e);
    sum += e;
  }
  const T total = sum_lanes<T>(sum);
  if (gradient) {
    const Vec<T> scale = broadcast(weight / total);
    for (long v = 0; v < nv; v++) store(at(v), load(at(v)) * scale);
    at(target / L)[target % L] -= weight;
  }
  return __builtin_log(static_cast<double>(total)) - (static_cast<double>(at_target) - static_cast<double>(top));
}

template <class T> class SoftmaxCrossEntropy {
  static constexpr int L = LANES<T>;
  using OfWeights = WeightGradient<Straight, 1, 1, T>;
  const HeadCall<T>& call;
  const long nv, nh, chunk;
  const bool gradient;
  Buffer<T> packed, transposed, z, dW, scratch;
  LinearPanels<T> panels;

  // Rows in a chunk: the logits of a chunk take at most about 8 MB, and a tile has full height.
  static long rows_in_chunk(long R, long V) {
    const long fit = (8L << 20) / static_cast<long>(sizeof(T)) / (V + 1);
    const long rows = fit < 48 ? 48 : fit > 1536 ? 1536 : fit;
    const long chunks = (R + rows - 1) / rows;
    return (R + chunks - 1) / chunks;
  }

 public:
  explicit SoftmaxCrossEntropy(const HeadCall<T>& c)
      : call(c), nv(blocks_of<T>(c.V)), nh(blocks_of<T>(c.H)), chunk(rows_in_chunk(c.R, c.V)), gradient(c.dh),
        packed(LinearPanels<T>::length(c.V, c.H)), transposed(gradient ? nh * nv * L * L : 0), z(nv * chunk * L),
        dW(gradient ? nv * c.H * L : 0), scratch(gradient ? OfWeights::scratch(c.H) : 0), panels(packed.data(), c.V, c.H) {}

  void run(const Member& me) {
    const FlushDenormals flush;
    long v0, v1, c0, c1, n0, n1;
    me.share(nv, 4, v0, v1);
    me.share(nh, 1, c0, c1);
    me.share(call.H, OfWeights::grain, n0, n1);
    panels.pack(call.Wy, call.by, call.V, call.H, v0, v1);
    if (gradient) pack_transposed<T, 1>(call.Wy, call.V, call.H, transposed.data(), c0, c1);
    me.wait();
    for (long r0 = 0; r0 < call.R; r0 += chunk) {
      const long rows = call.R - r0 < chunk ? call.R - r0 : chunk;
      logits(me, r0, rows, v0, v1);
      if (!gradient) continue;
      gradients(me, r0, rows, v0, v1);
      OfWeights{z.data(), {nullptr, call.h + r0 * call.H, 0, call.H, call.H}, dW.data(), rows, call.V}.run(
          n0, n1, scratch.data() + n0 * ROW_CHUNK, r0 == 0);
      me.wait();
    }
    if (gradient) unpack_panels<T, 1>(dW.data(), call.V, call.H, call.dWy, v0, v1);
  }

 private:
  void logits(const Member& me, long r0, long rows, long v0, long v1) {
    LinearTiles<T> tiles{panels, call.h + r0 * call.H, z.data(), nullptr, rows, call.H, call.V};
    for_tiles<1, 1>(0, rows, v0, v1, tiles);
    me.wait();
    long first, last;
    me.share(rows, 1, first, last);
    for (long r = first; r < last; r++)
      call.losses[r0 + r] =
          softmax_row(z.data(), rows, r, call.V, call.targets[r0 + r], gradient ? call.row_weights[r0 + r] : T(0), gradient);
    me.wait();
  }
  void gradients(const Member& me, long r0, long rows, long v0, long v1) {
    long first, last;
    me.share(rows, MAX_ROWS, first, last);
    GatesProduct<Straight, 1, 1, T>{z.data(), transposed.data(), call.dh + r0 * call.H, rows, call.V, call.H}.run(first, last);
    bias_gradient<Straight, 1, 1>(z.data(), rows, call.V, call.dby, v0, v1, r0 == 0);
  }
};

template <class T> void softmax_cross_entropy(const HeadCall<T>& call) {
  SoftmaxCrossEntropy<T> head(call);
  const bool small = call.R * call.H * call.V < 100000;
  parallel(small ? 1 : call.threads, 6.0 * call.R * call.H * call.V, [&](const Member& me) { head.run(me); });
}

}  // namespace backtime::BT_ISA
