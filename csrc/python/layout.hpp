// How sequences lie in the caller's tensors, and how they lie in the rows that the kernels read: there and back.
//
// Rows stand in the order of steps.hpp: step after step, and in a step the sequences in order of falling length.
#pragma once
#include "sequences.hpp"

namespace backtime {

// The caller's axes of time, batch and features, as strides in elements.
struct Axes {
  long t = 0, b = 0, n = 1;
};

class Layout {
 public:
  // Dense: (T, B, I), or (B, T, I) with batch_first, (T, I) of a single sequence; of one step (B, I), or (I,). Without I for
  // integers. Packed: the rows themselves, `sequences` being the sizes of the steps and the order. Padded: as dense with both
  // axes, `sequences` being a list of lengths.
  Layout(const Tensor& x, bool batch_first, bool one_step, nb::handle sequences) : batch_first_(batch_first), one_step_(one_step) {
    const int axes = x.ndim() - (x.holds_integers() ? 0 : 1);
    packed_ = nb::isinstance<nb::tuple>(sequences);
    padded_ = !packed_ && !sequences.is_none();
    batched_ = packed_ || axes == (one_step ? 1 : 2);
    if (packed_ ? axes != 1 : !batched_ && (padded_ || axes != (one_step ? 0 : 1))) x.refuse("has another number of axes");
    if (packed_) {
      steps_ = RaggedSteps::packed(nb::borrow<nb::tuple>(sequences));
      T = caller_T_ = steps_.T, B = steps_.B;
      return;
    }
    T = caller_T_ = one_step ? 1 : x.size(batched_ && batch_first ? 1 : 0);
    B = batched_ ? x.size(batch_first || one_step ? 0 : 1) : 1;
    if (T < 1) x.refuse("has no step");
    if (!padded_) return;
    steps_ = RaggedSteps::padded(sequences, caller_T_, B);
    T = steps_.T;
  }
  Layout(Layout&&) = default;

  long T = 0, B = 0;
  Steps steps(bool reverse) const { return {T, B, steps_.offsets.empty() ? nullptr : steps_.offsets.data(), reverse}; }
  long rows() const { return steps(false).rows(); }
  bool one_step() const { return one_step_; }

  // Whether a tensor of N features lies in memory as its rows do.
  bool lies_in_rows(const Tensor& x, long N) const {
    if (padded_) return false;
    const Axes a = axes(x, N);
    if (packed_) return (N == 1 || a.n == 1) && (rows() == 1 || a.t == N);
    return (N == 1 || a.n == 1) && (B == 1 || a.b == N) && (T == 1 || a.t == B * N);
  }

  // Copies a tensor shaped as the input is, with N features, into its rows; N of 1 without an axis for it.
  template <class S, class D> void into_rows(const Tensor& x, long N, D* rows) const {
    const S* from = x.data<S>();
    const Axes a = axes(x, N);
    each_step(N, [&](long t) {
      for (long b = 0; b < size(t); b++) {
        const S* row = from + (packed_ ? (start(t) + b) * a.t : t * a.t + sequence(b) * a.b);
        D* to = rows + (start(t) + b) * N;
        for (long n = 0; n < N; n++) to[n] = static_cast<D>(row[n * a.n]);
      }
    });
  }
  // Where the state that enters a row's step is cut, from where a new sequence begins: `begins` is (T, B), or (B, T) with
  // batch_first, of packed rows too. In the reverse direction the state crosses the same place from the other side.
  void cuts(const Tensor& begins, bool reverse, uint8_t* rows) const {
    const bool* from = begins.data<bool>();
    if (packed_ && begins.ndim() == 1) {  // for each row, already
      begins.expect({this->rows()});
      std::fill_n(rows, this->rows(), 0);
      for (long t = reverse; t < T; t++)
        for (long b = 0; b < size(t); b++) rows[start(t - reverse) + b] = from[(start(t) + b) * begins.stride(0)];
      return;
    }
    const long caller_T = packed_ ? T : caller_T_;
    !batched_ ? begins.expect({caller_T}) : batch_first_ ? begins.expect({B, caller_T}) : begins.expect({caller_T, B});
    const long st = begins.stride(batched_ && batch_first_ ? 1 : 0), sb = batched_ ? begins.stride(batch_first_ ? 0 : 1) : 0;
    std::fill_n(rows, this->rows(), 0);
    for (long t = reverse; t < T; t++)
      for (long b = 0; b < size(t); b++) rows[start(t - reverse) + b] = from[t * st + sequence(b) * sb];
  }
  // A new tensor shaped as the input is, with N features. Dense ones lie in memory as rows do, whatever their axes.
  template <class N_> NewTensor tensor(long N) const {
    if (packed_) return NewTensor::make<N_>({rows(), N});
    if (!batched_) return one_step_ ? NewTensor::make<N_>({N}) : NewTensor::make<N_>({T, N});
    if (one_step_) return NewTensor::make<N_>({B, N});
    if (!batch_first_) return NewTensor::make<N_>({caller_T_, B, N});
    return padded_ ? NewTensor::make<N_>({B, caller_T_, N}) : NewTensor::make<N_>({B, T, N}, {N, B * N, 1});
  }
  bool rows_are_the_tensor() const { return !padded_; }
  // From rows into a padded tensor, zeros beyond the lengths.
  template <class N_> void from_rows(const N_* rows, long N, N_* tensor) const {
    const long st = batch_first_ ? N : B * N, sb = batch_first_ ? caller_T_ * N : N;
    parallel_over(caller_T_, N, [&](long t) {
      for (long b = 0; b < B; b++) {
        N_* to = tensor + t * st + sequence(b) * sb;
        if (t < T && b < size(t)) std::copy_n(rows + (start(t) + b) * N, N, to);
        else std::fill_n(to, N, N_(0));
      }
    });
  }

  // States: (K, B, W), or (K, W) of a single sequence; without K of one step. K counts layers and directions.
  template <class N_> void state_into_rows(const Tensor& h, long K, long k, long W, N_* to) const {
    const N_* from = h.data<N_>();
    one_step_ ? (batched_ ? h.expect({B, W}) : h.expect({W})) : (batched_ ? h.expect({K, B, W}) : h.expect({K, W}));
    const int last = h.ndim() - 1;
    const long sk = one_step_ ? 0 : h.stride(0), sb = batched_ ? h.stride(last - 1) : 0, sn = h.stride(last);
    for (long b = 0; b < B; b++)
      for (long n = 0; n < W; n++) to[b * W + n] = from[k * sk + sequence(b) * sb + n * sn];
  }
  template <class N_> NewTensor state(long K, long W) const {
    if (one_step_) return batched_ ? NewTensor::make<N_>({B, W}) : NewTensor::make<N_>({W});
    return batched_ ? NewTensor::make<N_>({K, B, W}) : NewTensor::make<N_>({K, W});
  }
  // In place: the rows (B, W) of one part of a state into the caller's order.
  template <class N_> void state_from_rows(N_* part, long W) const {
    if (steps_.order.empty()) return;
    const Buffer<N_> rows(B * W);
    std::copy_n(part, B * W, rows.data());
    for (long b = 0; b < B; b++) std::copy_n(rows.data() + b * W, W, part + steps_.order[b] * W);
  }

 private:
  bool batch_first_, one_step_, batched_ = true, packed_ = false, padded_ = false;
  long caller_T_ = 0;
  RaggedSteps steps_;  // of packed and padded; else empty

  long size(long t) const { return steps_.offsets.empty() ? B : steps_.offsets[t + 1] - steps_.offsets[t]; }
  long start(long t) const { return steps_.offsets.empty() ? t * B : steps_.offsets[t]; }
  long sequence(long place) const { return steps_.order.empty() ? place : steps_.order[place]; }

  void expect_axes(const Tensor& x, long N) const {
    const bool flat = x.holds_integers();
    const int axes = x.ndim() - (flat ? 0 : 1);
    if (axes != (packed_ ? 1 : batched_ + !one_step_)) x.refuse("has another number of axes");
    if (!flat && x.size(x.ndim() - 1) != N) x.refuse("has another width");
    if (packed_) {
      if (x.size(0) != rows()) x.refuse("has another number of rows");
      return;
    }
    const bool second_is_time = batch_first_ && batched_;
    if (!one_step_ && x.size(second_is_time ? 1 : 0) != caller_T_) x.refuse("has another number of steps");
    if (batched_ && x.size(batch_first_ || one_step_ ? 0 : 1) != B) x.refuse("has another number of sequences");
  }
  Axes axes(const Tensor& x, long N) const {
    expect_axes(x, N);
    const long n = x.holds_integers() ? 1 : x.stride(x.ndim() - 1);
    if (packed_) return {x.stride(0), 0, n};
    if (one_step_) return {0, batched_ ? x.stride(0) : 0, n};
    if (!batched_) return {x.stride(0), 0, n};
    return {x.stride(batch_first_ ? 1 : 0), x.stride(batch_first_ ? 0 : 1), n};
  }
  template <class F> void parallel_over(long steps, long N, F&& f) const {
    const double elements = static_cast<double>(steps) * B * N;
    parallel(elements < 100000 ? 1 : team_size(), elements, [&](const Member& me) {
      long first, last;
      me.share(steps, 1, first, last);
      for (long t = first; t < last; t++) f(t);
    });
  }
  template <class F> void each_step(long N, F&& f) const { parallel_over(T, N, f); }
};

}  // namespace backtime
