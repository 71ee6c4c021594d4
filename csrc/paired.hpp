// How the gates of a block lie in vectors: each in its own, or, in a last block of at most L / 2 real lanes, two in one, so
// that its products take half of the multiply-adds. Each lane's chain of additions is the same either way.
//
//   paired panel  (K, (G + 1) / 2, L)  gate 2v in the lower half of vector v, gate 2v + 1 in the upper one
//   paired sums   (S - pairs, L)       the first 2 * Cell::pairs of the S by twos, the others alone
//
// Alone are the gru's n and m: each is reached by one product only, and zeros in the other product's weights would not
// leave it as it is, for 0 * inf is NaN.
#pragma once
#include "panel.hpp"

namespace backtime::BT_ISA {

// Half `i` of a, then the lower half of b.
template <class T, int i> BT_INLINE Vec<T> join_halves(Vec<T> a, Vec<T> b) {
  constexpr int L = LANES<T>;
  VecInt<T> from{};
  for (int j = 0; j < L; j++) from[j] = j < L / 2 ? j + i * (L / 2) : j + L / 2;
  return __builtin_shuffle(a, b, from);
}

// One half of v as a block, the lanes beyond it zero.
template <class T> BT_INLINE Vec<T> half(Vec<T> v, int i) { return i ? join_halves<T, 1>(v, Vec<T>{}) : join_halves<T, 0>(v, Vec<T>{}); }

// Whether at most half of the last block is real.
template <class T> bool half_full(long H) { return 2 * lanes_in<T>(blocks_of<T>(H) - 1, H) <= LANES<T>; }

template <class T, class Cell> struct Single {  // a vector for each gate
  static constexpr int vectors = Cell::G, sums = Cell::S;
  using XSlot = typename Cell::XSlot;
  using HSlot = typename Cell::HSlot;
  static BT_INLINE void merge(const Vec<T> (&z)[Cell::S], Vec<T> (&sum)[sums]) { std::memcpy(&sum, &z, sizeof z); }
  static BT_INLINE void split(const Vec<T> (&sum)[sums], Vec<T> (&z)[Cell::S]) { std::memcpy(&z, &sum, sizeof z); }
};

template <class T, class Cell> struct Paired {  // a vector for two gates
  static constexpr int N = Cell::pairs, vectors = (Cell::G + 1) / 2, sums = Cell::S - N;
  template <class Slot> struct Pairs {
    static constexpr int of(int v) { return Slot::of(2 * v) < 2 * N ? Slot::of(2 * v) / 2 : Slot::of(2 * v) - N; }
  };
  using XSlot = Pairs<typename Cell::XSlot>;
  using HSlot = Pairs<typename Cell::HSlot>;

  static BT_INLINE void merge(const Vec<T> (&z)[Cell::S], Vec<T> (&sum)[sums]) {
    for (int i = 0; i < N; i++) sum[i] = join_halves<T, 0>(z[2 * i], z[2 * i + 1]);
    for (int i = N; i < sums; i++) sum[i] = z[i + N];
  }
  static BT_INLINE void split(const Vec<T> (&sum)[sums], Vec<T> (&z)[Cell::S]) {  // lanes beyond L / 2 zero
    for (int i = 0; i < N; i++) z[2 * i] = half<T>(sum[i], 0), z[2 * i + 1] = half<T>(sum[i], 1);
    for (int i = N; i < sums; i++) z[i + N] = sum[i];
  }
  // The panel of block b, the last one, of W (G*H, K).
  static void pack(const T* W, long H, long K, T* panel, long b) {
    constexpr int L = LANES<T>;
    for (int v = 0; v < vectors; v++) {
      const T* rows[L]{};
      for (int g = 2 * v; g < 2 * v + 2 && g < Cell::G; g++)
        for (int i = 0; i < lanes_in<T>(b, H); i++) rows[g % 2 * (L / 2) + i] = W + (g * H + b * L + i) * K;
      pack_rows<T>(rows, K, panel + vector_at<T, vectors>(v, K), STRIP<vectors> * L);
    }
  }
};

// Blocks that are not paired: all, or all but the last.
template <class T, class Cell> long single_blocks(long H) { return blocks_of<T>(H) - (Cell::pairs && half_full<T>(H)); }

}  // namespace backtime::BT_ISA
