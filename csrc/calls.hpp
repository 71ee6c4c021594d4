// What crosses from the bindings to the kernels: plain sizes and pointers, no Python, no SIMD.
//
// Letters: T steps, B sequences, I inputs, H hidden units, P width of what recurs (H, or the rows of Wy), G gates, V symbols,
// R rows: one for each step of each sequence. Arrays are row-major and time-major, borrowed for the length of the call;
// weights in PyTorch's layout and gate order.
#pragma once
#include <cstdint>

#include "steps.hpp"

namespace backtime {

enum class CellKind { rnn, gru, gru_before, lstm };  // gru_before: the reset gate before the product
enum class Activation { tanh, relu, sigmoid, identity };

struct Sizes {
  CellKind cell;
  Steps steps;
  long I, H, P;
  long rows() const { return steps.rows(); }
};

// A weight that is null switches its option off.
template <class T> struct LayerWeights {
  const T *Wx, *Wh;  // (G*H, I), (G*H, P)
  const T *bx, *bh;  // (G*H,) each
  const T *Wy = nullptr, *by = nullptr;  // (P, H), (P,): output product inside the recurrence; by may be null beside Wy
  const T* p = nullptr;                  // (3, H) peepholes of the lstm: i f o
  const T *gx = nullptr, *gh = nullptr;  // (G*H,) layer norm gains of the two products
  const T *gc = nullptr, *bc = nullptr;  // (H,) layer norm of c, with gx, for the lstm
};
template <class T> struct WeightGradients {  // as LayerWeights; written, not added to
  T *Wx, *Wh, *bx, *bh;
  T *Wy = nullptr, *by = nullptr, *p = nullptr, *gx = nullptr, *gh = nullptr, *gc = nullptr, *bc = nullptr;
};

// What is not learned. `keep`: the share of the state before that stays, a number or one for each row and unit.
template <class T> struct Options {
  Activation activation = Activation::tanh, output = Activation::identity;  // f of the rnn, g of its output product
  bool coupled = false;                                                      // lstm: f = 1 - i
  bool keeps_h = false, keeps_c = false;
  T keep_h = 0, keep_c = 0;
  const T *keep_h_rows = nullptr, *keep_c_rows = nullptr;  // (R, P), (R, H) in place of the numbers
  const T* h_mask = nullptr;                               // (B, P) multiplies h on its way into Wh
  const uint8_t* cut = nullptr;                            // (R,) the state that enters this row's step is zero
};

// How long each kept buffer is, in elements; the layout is the kernels' own (panel.hpp).
struct Lengths {
  long panels;  // packed weights and biases
  long gates;   // activated gates of every row
  long cells;   // c of every start and row; 0 for cells without one
  long inner;   // what stands before the output product (R, H), or r h of gru_before; else 0
  long norm;    // normalised products and what layer norm's derivative needs; else 0
};
template <class T> struct Kept {  // buffers of these lengths, kept for backward; null when nothing is
  T *gates = nullptr, *cells = nullptr, *inner = nullptr, *norm = nullptr;
};

template <class T> struct ForwardCall {
  Sizes sizes;
  Options<T> options;
  const T* x;             // (R, I), or null when tokens are given
  const int64_t* tokens;  // (R,) columns of Wx, each in [0, I): one-hot input
  const T *h0, *c0;       // (B, P), (B, H); c0 null without a cell state
  LayerWeights<T> weights;
  const T* panels;  // Lengths::panels of them packed before, or null: then packed here
  T* y;             // (R, P), a row every ldy elements
  long ldy;
  T *hn, *cn;       // (B, P), (B, H); cn null without a cell state; may be h0 and c0
  Kept<T> kept;
};

template <class T> struct BackwardCall {
  Sizes sizes;
  Options<T> options;
  const T* x;
  const int64_t* tokens;
  const T *h0, *c0;
  LayerWeights<T> weights;
  const T* y;  // as forward left them
  long ldy;
  Kept<T> kept;
  bool last_use;       // nobody reads `kept` again: dz may take the place of the gates
  const T* dy;         // (R, P), a row every lddy elements, or null for zeros
  long lddy;
  const T *dhn, *dcn;  // (B, P), (B, H) or null for zeros
  T* dx;               // (R, I) or null when not wanted
  T *dh0, *dc0;        // (B, P), (B, H); dh0 null when the start's gradient is not wanted
  WeightGradients<T> d;
};

template <class T> struct HeadCall {  // loss_r = -log softmax(Wy h_r + by)[target_r]
  long R, H, V;
  const T* h;                          // (R, H)
  const T *Wy, *by;                    // (V, H), (V,)
  const int64_t* targets;              // (R,) each in [0, V)
  const T* row_weights;                // (R,) weights of the losses in the sum whose gradient is taken
  T* losses;                           // (R,) nats, unweighted
  T *dh, *dWy, *dby;                   // all null when no gradient is wanted
  int threads;
};

template <class T> struct LinearCall {  // z = x W^T + b
  long R, K, N;
  const T* x;       // (R, K)
  const T* panels;  // packed (N, K) weights and bias
  T* z;             // (R, N)
  int threads;
};

template <class T> struct Kernels {  // one table for each instruction set and number type
  Lengths (*lengths)(const Sizes&, const LayerWeights<T>&);
  void (*pack)(const Sizes&, const LayerWeights<T>&, T* panels);
  void (*forward)(const ForwardCall<T>* calls, int n, int threads);    // n is 1, or 2: both directions of a layer at once
  void (*backward)(const BackwardCall<T>* calls, int n, int threads);
  void (*add)(T* to, const T* from, long n, int threads);  // to += from
  void (*softmax_cross_entropy)(const HeadCall<T>&);
  long (*linear_length)(long N, long K);
  void (*linear_pack)(long N, long K, const T* W, const T* b, T* panels);
  void (*linear)(const LinearCall<T>&);
  void (*elementwise)(int function, const T* x, T* y, long n);  // 0 exp, 1 sigmoid, 2 tanh: for the accuracy tests
  double (*fma_peak)(int milliseconds);  // flops a second of one thread: for the benchmarks
};

template <class T> const Kernels<T>& kernels();  // the table of the chosen instruction set
const char* isa_name();

}  // namespace backtime
