// The products that are no part of a time loop: over all rows at once.
#pragma once
#include "panel.hpp"
#include "pool.hpp"
#include "tiling.hpp"

namespace backtime::BT_ISA {

struct Part {  // of a sum over blocks of hidden units: those from `first` to `past`
  long first, past;
};

// Calls f(part) for the parts of a sum over nb blocks of dz, each of so few that `rows` rows of it, of `vectors` a block, stay in a
// second cache while all columns pass by. What was summed goes through memory between the parts: each is one chain all the same.
// With 32 registers in one part: a tile takes more columns there, and reads dz less often.
template <class T, class F> void for_parts(long nb, long rows, long vectors, F&& f) {
  constexpr long cache = 128 * 1024, bytes = LANES<T> * sizeof(T);
  const long fit = BT_REGISTERS == 32 || !rows ? nb : cache / (rows * vectors * bytes), most = fit < 8 ? 8 : fit;
  const long parts = nb <= most ? 1 : (nb + most - 1) / most;
  for (long i = 0; i < parts; i++) f(Part{nb * i / parts, nb * (i + 1) / parts});
}

// Adds a part of dz W to a tile: dz lies as gate rows (nb, R, S, L), of which Slot picks G vectors; `panels` is W transposed. The
// rows of a block lie far from those of the block before: where dz is not in cache yet, they are fetched one block ahead; with 16
// registers, where a part stays in cache, for the first column alone.
template <class Slot, int G, int S, bool ahead = false, class T, int M, int J>
BT_INLINE void multiply_gates(Tile<T, M, J, 1>& tile, const T* dz, long R, long row, long H, const T* panels, long column, Part part) {
  constexpr int L = LANES<T>;
  const long stride = blocks_of<T>(H) * G * L * L;
  const T* w = panels + column * stride + part.first * G * L * L;
  for (long b = part.first; b < part.past; b++) {
    if (ahead && (BT_REGISTERS == 32 || column == 0) && b + 1 < part.past)
      for (int i = 0; i < M * S; i++) __builtin_prefetch(dz + (((b + 1) * R + row) * S + i) * L);
    const int lanes = lanes_in<T>(b, H);
    for (int g = 0; g < G; g++, w += L * L) {
      const T* from = dz + ((b * R + row) * S + Slot::of(g)) * L;
      if (BT_REGISTERS == 16 && lanes == L) multiply<Straight, 1>(tile, from, S * L, w, stride, L);  // a loop of known length
      else multiply<Straight, 1>(tile, from, S * L, w, stride, lanes);
    }
  }
}

// out (R, N) = dz W.
template <class Slot, int G, int S, class T> struct GatesProduct {
  const T *dz, *panels;
  T* out;
  long R, H, N;

  // Rows [r0, r1) by all columns.
  void run(long r0, long r1) const {
    const long nb = blocks_of<T>(H), some = BT_REGISTERS == 32 ? rows_in_cache<T>(nb * S * LANES<T>) : 16 * MAX_ROWS;
    for (long r = r0; r < r1; r += some) {
      const long end = r + some < r1 ? r + some : r1;
      for_parts<T>(nb, end - r, S, [&](Part part) {
        Tiles tiles{*this, part};
        for_tiles<1, 1>(r, end, 0, blocks_of<T>(N), tiles);
      });
    }
  }

 private:
  struct Tiles {
    const GatesProduct& of;
    const Part part;
    template <int M, int J> void tile(long row, long column) {
      Tile<T, M, J, 1> t;
      t.clear();
      if (part.first)
        for (int m = 0; m < M; m++)
          for (int j = 0; j < J; j++) t.z[m][j][0] = load_n(place(row + m, column + j), lanes_in<T>(column + j, of.N));
      multiply_gates<Slot, G, S, true>(t, of.dz, of.R, row, of.H, of.panels, column, part);
      for (int m = 0; m < M; m++)
        for (int j = 0; j < J; j++) store_n(place(row + m, column + j), t.z[m][j][0], lanes_in<T>(column + j, of.N));
    }
    T* place(long row, long column) const { return of.out + row * of.N + column * LANES<T>; }
  };
};

// Rows that a sum over rows takes in one chain from zero; the sums of the chunks are added in rising order. A single
// chain over thousands of rows would lose digits.
constexpr long ROW_CHUNK = 256, BIAS_CHUNK = 32;

// Sums over the rows for blocks [b0, b1), in shorter chunks: of dz (the biases), or of dz times `by` (nb, R, G, L), the gains
// of layer norm.
template <class Slot, int G, int S, bool times, class T>
void sum_rows(const T* dz, const T* by, long R, long H, T* sums, long b0, long b1, bool fresh) {
  constexpr int L = LANES<T>;
  for (long b = b0; b < b1; b++) {
    Vec<T> total[G];
    for (int g = 0; g < G; g++) total[g] = block_or_zero(fresh ? nullptr : sums + g * H, b, H);
    for (long r = 0; r < R;) {
      Vec<T> sum[G]{};
      for (const long end = r + BIAS_CHUNK < R ? r + BIAS_CHUNK : R; r < end; r++)
        for (int g = 0; g < G; g++) {
          const Vec<T> d = load(dz + ((b * R + r) * S + Slot::of(g)) * L);
          sum[g] = times ? fma<T>(d, load(by + ((b * R + r) * G + g) * L), sum[g]) : sum[g] + d;
        }
      for (int g = 0; g < G; g++) total[g] += sum[g];
    }
    for (int g = 0; g < G; g++) store_n(sums + g * H + b * L, total[g], lanes_in<T>(b, H));
  }
}
template <class Slot, int G, int S, class T>
void bias_gradient(const T* dz, long R, long H, T* db, long b0, long b1, bool fresh = true) {
  sum_rows<Slot, G, S, false>(dz, static_cast<const T*>(nullptr), R, H, db, b0, b1, fresh);
}
template <class Slot, int G, int S, class T>
void gain_gradient(const T* dz, const T* normalised, long R, long H, T* dg, long b0, long b1) {
  sum_rows<Slot, G, S, true>(dz, normalised, R, H, dg, b0, b1, true);
}

// One-hot input: row r of dz belongs to column tokens[r]. Panels of blocks [b0, b1), zeroed here.
template <class Slot, int G, int S, class T>
void scatter_gradient(const T* dz, const int64_t* tokens, long R, long I, T* panels, long b0, long b1) {
  constexpr int L = LANES<T>;
  std::memset(panels + b0 * I * G * L, 0, (b1 - b0) * I * G * L * sizeof(T));
  for (long b = b0; b < b1; b++)
    for (long r = 0; r < R; r++)
      for (int g = 0; g < G; g++) {
        T* sum = panels + ((b * I + tokens[r]) * G + g) * L;
        store(sum, load(sum) + load(dz + ((b * R + r) * S + Slot::of(g)) * L));
      }
}

}  // namespace backtime::BT_ISA
