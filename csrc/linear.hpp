// The product z = x W^T + b over given rows.
#pragma once
#include "product.hpp"

namespace backtime::BT_ISA {

template <class T> struct LinearPanels {  // (nv, K, L) and the bias (nv, L)
  T *w, *bias;
  LinearPanels(T* buffer, long N, long K) : w(buffer), bias(w + blocks_of<T>(N) * K * LANES<T>) {}
  static long length(long N, long K) { return blocks_of<T>(N) * (K + 1) * LANES<T>; }
  void pack(const T* W, const T* b, long N, long K, long v0, long v1) {
    pack_panels<T, 1>(W, N, K, w, v0, v1);
    for (long v = v0; v < v1; v++) store(bias + v * LANES<T>, block_or_zero(b, v, N));
  }
};

template <class T> struct LinearTiles {
  static constexpr int L = LANES<T>;
  const LinearPanels<T>& panels;
  const T* x;  // (R, K)
  T *z, *out;  // gate rows (nv, R, 1, L), or, when null, plain rows (R, N)
  long R, K, N;
  template <int M, int J> void tile(long row, long block) {
    Tile<T, M, J, 1> t;
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++) t.z[m][j][0] = load(panels.bias + (block + j) * L);
    multiply<Straight, 1>(t, x + row * K, K, panels.w + block * K * L, K * L, K);
    for (int m = 0; m < M; m++)
      for (int j = 0; j < J; j++)
        if (z) store(z + ((block + j) * R + row + m) * L, t.z[m][j][0]);
        else store_n(out + (row + m) * N + (block + j) * L, t.z[m][j][0], lanes_in<T>(block + j, N));
  }
};

template <class T> void linear(const LinearCall<T>& call) {
  const LinearPanels<T> panels(const_cast<T*>(call.panels), call.N, call.K);
  const bool small = call.R * call.N * call.K < 500000;
  parallel(small ? 1 : call.threads, 2.0 * call.R * call.K * call.N, [&](const Member& me) {
    const FlushDenormals flush;
    long v0, v1;
    me.share(blocks_of<T>(call.N), 1, v0, v1);
    LinearTiles<T> tiles{panels, call.x, nullptr, call.z, call.R, call.K, call.N};
    for_tiles<1, 1>(0, call.R, v0, v1, tiles);
  });
}

}  // namespace backtime::BT_ISA
