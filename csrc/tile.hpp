// Register tiles: M rows x J blocks x S vectors stay in registers through the whole sum over k.
//
// A block is one vector of hidden units. Every output element is one chain of fused multiply-adds over k in rising
// order, whatever M and J are: that is why a result does not depend on the batch around it.
#pragma once
#include "panel.hpp"

namespace backtime::BT_ISA {

constexpr int MAX_ACCUMULATORS = BT_REGISTERS == 32 ? 24 : 12;
constexpr int AHEAD = 32;  // vectors: how far ahead of the loop the weights of a single block are fetched
constexpr long LARGE_PANEL = 48 * 1024;  // bytes: with smaller ones a second cache mostly holds the weights of a layer

template <class T, int M, int J, int S> struct Tile {
  Vec<T> z[M][J][S];
  BT_INLINE void clear() {  // written out: of `{}` the compiler makes a `rep stos`, which takes dozens of cycles to begin
#pragma GCC unroll 12
    for (int m = 0; m < M; m++)
#pragma GCC unroll 8
      for (int j = 0; j < J; j++)
#pragma GCC unroll 4
        for (int g = 0; g < S; g++) z[m][j][g] = Vec<T>{};
  }
};

// The vectors from `first` to `past` of the panel at w, of a k to come, into the first cache: the processor itself fetches panels
// of more than a vector for each k too late from the second. Blocks side by side, of one vector each, it fetches in time, and with
// few rows a fetch costs more than it gains.
template <int G, int first, int past, class T> BT_INLINE void fetch_ahead(const T* w, long K) {
  constexpr int in_line = 64 / BT_VECTOR_BYTES;
#pragma GCC unroll 4
  for (int g = first; g < past; g += in_line) __builtin_prefetch(w + vector_at<T, G>(g, K) + AHEAD * LANES<T>);
}

// The same vectors of the next panel, into the second cache, which it would else reach with the first rows that wait for it.
template <int G, int first, int past, class T> BT_INLINE void fetch_next_panel(const T* w, long K, long panel) {
  constexpr int in_line = 64 / BT_VECTOR_BYTES;
#pragma GCC unroll 4
  for (int g = first; g < past; g += in_line) __builtin_prefetch(w + vector_at<T, G>(g, K) + panel, 0, 2);
}

// Adds a (M rows, stride lda) times the panels of J blocks: panel j starts at w + j * stride and holds, for each k,
// G vectors, of which those from `first` to `past` are taken. Slot::of(g) says which accumulator the vector g goes to.
// What there is fewer of, rows or vectors, is held in registers: M*J*S + min(M, vectors) + 1 of them.
template <class Slot, int G, int first, int past, bool next_panel, class T, int M, int J, int S>
BT_INLINE void multiply_all(Tile<T, M, J, S>& tile, const T* a, long lda, const T* w, long stride, long K) {
  constexpr int L = LANES<T>, V = STRIP<G>;
  for (long k = 0; k < K; k++, w += V * L) {
    if constexpr (J == 1 && M > 3) fetch_ahead<G, first, past>(w, K);
    if constexpr (next_panel) fetch_next_panel<G, first, past>(w, K, stride);
    if constexpr (BT_REGISTERS == 32 || M <= J * (past - first)) {
      Vec<T> am[M];
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) am[m] = broadcast(a[m * lda + k]);
#pragma GCC unroll 8
      for (int j = 0; j < J; j++)
#pragma GCC unroll 4
        for (int g = first; g < past; g++) {
          const Vec<T> v = load(w + j * stride + vector_at<T, G>(g, K));
#pragma GCC unroll 8
          for (int m = 0; m < M; m++) tile.z[m][j][Slot::of(g)] = fma<T>(am[m], v, tile.z[m][j][Slot::of(g)]);
        }
    } else {
      Vec<T> v[J][past - first];
#pragma GCC unroll 8
      for (int j = 0; j < J; j++)
#pragma GCC unroll 4
        for (int g = first; g < past; g++) v[j][g - first] = load(w + j * stride + vector_at<T, G>(g, K));
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        const Vec<T> am = broadcast(a[m * lda + k]);
#pragma GCC unroll 8
        for (int j = 0; j < J; j++)
#pragma GCC unroll 4
          for (int g = first; g < past; g++) tile.z[m][j][Slot::of(g)] = fma<T>(am, v[j][g - first], tile.z[m][j][Slot::of(g)]);
      }
    }
  }
}
// `next_panel`: the next one will be wanted, and no other tile of this panel has asked for it. In two loops, so that the others do
// not pay for it. With 32 registers it gained nothing: a load serves more multiply-adds there.
template <class Slot, int G, int first = 0, int past = G, class T, int M, int J, int S>
BT_INLINE void multiply(Tile<T, M, J, S>& tile, const T* a, long lda, const T* w, long stride, long K, bool next_panel = false) {
  if constexpr (BT_REGISTERS == 16 && J == 1 && M > 3)
    if (next_panel && stride * static_cast<long>(sizeof(T)) >= LARGE_PANEL)
      return multiply_all<Slot, G, first, past, true>(tile, a, lda, w, stride, K);
  multiply_all<Slot, G, first, past, false>(tile, a, lda, w, stride, K);
}

struct Straight {  // vector g of the weights belongs to accumulator g
  static constexpr int of(int g) { return g; }
};

}  // namespace backtime::BT_ISA
