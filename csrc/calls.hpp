// What crosses from the bindings to the kernels: plain sizes and pointers, no Python, no SIMD.
//
// Letters: T steps, B batch, I inputs, H hidden units, G gates, V symbols, R = T * B rows. Arrays are row-major and
// time-major, borrowed for the length of the call; weights in PyTorch's layout and gate order.
#pragma once
#include <cstdint>

namespace backtime {

enum class CellKind { rnn, gru, lstm };
enum class Activation { tanh, relu, sigmoid, identity };  // of the rnn

struct Sizes {
  CellKind cell;
  Activation activation;
  long T, B, I, H;
  long rows() const { return T * B; }
};

template <class T> struct LayerWeights {
  const T *Wx, *Wh;  // (G*H, I), (G*H, H)
  const T *bx, *bh;  // (G*H,) each
};

// How long each kept buffer is, in elements; the layout is the kernels' own (panel.hpp).
struct Lengths {
  long panels;  // packed Wx, Wh and biases
  long gates;   // activated gates of every row
  long cells;   // c of every row and of the start; 0 for cells without one
};

template <class T> struct ForwardCall {
  Sizes sizes;
  const T* x;             // (R, I), or null when tokens are given
  const int64_t* tokens;  // (R,) columns of Wx, each in [0, I): one-hot input
  const T *h0, *c0;       // (B, H)
  LayerWeights<T> weights;
  const T* panels;  // Lengths::panels of them packed before, or null: then packed here
  T* y;             // (R, H)
  T *hn, *cn;       // (B, H); cn null without a cell state
  T *gates, *cells;  // kept for backward, or null when nothing is
  int threads;
};

template <class T> struct BackwardCall {
  Sizes sizes;
  const T* x;
  const int64_t* tokens;
  const T *h0, *c0;
  LayerWeights<T> weights;
  const T *y, *gates, *cells;  // as forward left them
  const T* dy;                 // (R, H) or null for zeros
  const T *dhn, *dcn;          // (B, H) or null for zeros
  T* dx;                       // (R, I) or null when not wanted
  T *dh0, *dc0;                // (B, H); dh0 null when the start's gradient is not wanted
  T *dWx, *dWh, *dbx, *dbh;    // as the weights; written, not added to
  int threads;
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
  Lengths (*lengths)(const Sizes&);
  void (*pack)(const Sizes&, const LayerWeights<T>&, T* panels);
  void (*forward)(const ForwardCall<T>&);
  void (*backward)(const BackwardCall<T>&);
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
