// One recurrent layer, forward and backward, in one direction or in both at once.
#pragma once
#include "weights.hpp"

namespace backtime {

template <class T> struct Saved {  // what forward keeps for backward; its buffers go back to the pool with it
  Sizes sizes;
  Form form;
  std::vector<long> offsets;
  Buffer<T> gates, cells, inner, norm;
  int readers = 0;  // backward calls under way, counted under the GIL
  bool used_up = false;
  std::vector<std::pair<long, long>> state_shapes() const {  // of h, and of c for the lstm
    if (sizes.cell != CellKind::lstm) return {{sizes.steps.B, sizes.P}};
    return {{sizes.steps.B, sizes.P}, {sizes.steps.B, sizes.H}};
  }
  Kept<T> kept() const { return {gates.data(), cells.data(), inner.data(), norm.data()}; }
};

// Offsets of the steps from their sizes.
inline std::vector<long> offsets_of(const Tokens& batch_sizes, long T, long B) {
  const int64_t* sizes = of_size(batch_sizes, T, "batch_sizes");
  std::vector<long> offsets(1, 0);
  for (long t = 0; t < T; t++) {
    if (sizes[t] < 1 || sizes[t] > (t ? sizes[t - 1] : B))
      throw std::invalid_argument("batch_sizes must fall from at most B to at least 1");
    offsets.push_back(offsets.back() + sizes[t]);
  }
  return offsets;
}

inline void check_directions(const std::vector<nb::tuple>& directions, size_t parts, bool one_input) {
  const size_t n = directions.size();
  if (n < 1 || n > 2) throw std::invalid_argument("directions has " + std::to_string(n) + " parts; expected 1 or 2");
  for (const nb::tuple& d : directions)
    if (d.size() != parts)
      throw std::invalid_argument("a direction has " + std::to_string(d.size()) + " parts; expected " + std::to_string(parts));
  if (!one_input) throw std::invalid_argument("exactly one of x and tokens is needed");
}
// The first state of each direction: h0, and c0 for the lstm; zeros for None.
template <class T> class Starts {
  std::vector<Buffer<T>> zeros_;
  const T* or_zeros(const T* given, long size) {
    if (given) return given;
    T* zeros = zeros_.emplace_back(size).data();
    std::fill(zeros, zeros + size, T(0));
    return zeros;
  }

 public:
  const T *h0, *c0;  // of the direction arrays last
  void take(const nb::tuple& direction, const Sizes& s, CallArrays& arrays) {
    const Maybe<In<T>> h = item<In<T>>(direction, 1, "h0"), c = item<In<T>>(direction, 2, "c0");
    const bool lstm = s.cell == CellKind::lstm;
    if (c && !lstm) throw std::invalid_argument("c0 belongs to the lstm");
    h0 = or_zeros(arrays(h, s.steps.B * s.P, "h0"), s.steps.B * s.P);
    c0 = lstm ? or_zeros(arrays(c, s.steps.B * s.H, "c0"), s.steps.B * s.H) : nullptr;
  }
};
// Parts of the cell's state: c beside h for the lstm, and for it alone.
inline void check_states(const Sizes& s, bool h, bool c, const char* names) {
  if (!h || c != (s.cell == CellKind::lstm))
    throw std::invalid_argument(std::string(names) + ": expected both for the lstm, else the first");
}

template <class T> struct Input {  // (R, I) numbers or (R,) columns
  const Maybe<In<T>>& x;
  const Maybe<Tokens>& tokens;
  const T* numbers(const Sizes& s, CallArrays& arrays) const { return arrays(x, s.rows() * s.I, "x"); }
  const int64_t* columns(const Sizes& s, CallArrays& arrays) const {
    return tokens ? tokens_below(*tokens, s.rows(), s.I, "x"), arrays(tokens, s.rows(), "x") : nullptr;
  }
};

// directions: one or two of (reverse, h0, c0, weights, options, hn, cn); y has their outputs side by side.
template <class T>
nb::object forward(const std::string& cell, std::pair<long, long> shape, Maybe<Tokens> batch_sizes, Maybe<In<T>> x, Maybe<Tokens> tokens,
                   std::vector<nb::tuple> directions, Out<T> y, bool save) {
  const Kernels<T>& k = kernels<T>();
  const size_t n = directions.size();
  check_directions(directions, 7, x.has_value() != tokens.has_value());
  const Input<T> input{x, tokens};
  std::vector<ForwardCall<T>> calls;
  std::vector<Saved<T>> saved(n);
  CallArrays arrays;
  Starts<T> starts;
  arrays(y, static_cast<long>(y.size()), "y");
  for (size_t d = 0; d < n; d++) {
    const nb::tuple& direction = directions[d];
    Saved<T>& one = saved[d];
    Sizes& s = one.sizes;
    const Weights<T> w(tuple_of(direction[3], "weights"));
    s = w.sizes(cell, {shape.first, shape.second, nullptr, value_of<bool>(direction[0], "reverse", "True or False")});
    if (batch_sizes) one.offsets = offsets_of(*batch_sizes, s.steps.T, s.steps.B), s.steps.offsets = one.offsets.data();
    const LayerWeights<T> weights = w.checked(s, arrays);
    const Options<T> options = options_of<T>(tuple_of(direction[4], "options"), s, weights, arrays);
    starts.take(direction, s, arrays);
    const Maybe<Out<T>> hn = item<Out<T>>(direction, 5, "hn"), cn = item<Out<T>>(direction, 6, "cn");
    check_states(s, hn.has_value(), cn.has_value(), "hn and cn");
    const long R = s.rows(), B = s.steps.B, P = s.P, ldy = static_cast<long>(n) * P;
    calls.push_back({s,
                     options,
                     input.numbers(s, arrays),
                     input.columns(s, arrays),
                     starts.h0,
                     starts.c0,
                     weights,
                     nullptr,
                     of_size(y, R * ldy, "y") + d * P,
                     ldy,
                     arrays(hn, B * P, "hn"),
                     arrays(cn, B * s.H, "cn"),
                     {}});
    one.form = form_of(weights, options);
  }
  arrays.refuse_overlaps();
  for (size_t d = 0; save && d < n; d++) {
    const Lengths lengths = k.lengths(calls[d].sizes, calls[d].weights);
    Saved<T>& one = saved[d];
    one.gates = Buffer<T>(lengths.gates), one.cells = Buffer<T>(lengths.cells);
    one.inner = Buffer<T>(lengths.inner), one.norm = Buffer<T>(lengths.norm);
    calls[d].kept = one.kept();
  }
  {
    const GilReleased release;
    k.forward(calls.data(), static_cast<int>(n), team_size());
  }
  if (!save) return nb::none();
  nb::list kept;
  for (Saved<T>& one : saved) kept.append(nb::cast(std::move(one)));
  return kept;
}

template <class T> Saved<T>& saved_of(nb::handle value) {
  Saved<T>* saved = nullptr;
  if (!nb::try_cast(value, saved) || !saved) throw std::invalid_argument("saved is not what forward of this type of numbers returned");
  if (saved->used_up) throw std::invalid_argument("saved was used up by a backward before");
  return *saved;
}
// What a backward call reads, held until it is over; after a last use it goes. Made and ended under the GIL.
template <class T> class Reading {
  const std::vector<Saved<T>*>& all;

 public:
  Reading(const std::vector<Saved<T>*>& saved, bool last_use) : all(saved) {
    for (Saved<T>* s : all)
      if (last_use && s->readers) throw std::invalid_argument("saved is read by another thread, which a last use would spoil");
    for (Saved<T>* s : all) s->readers++, s->used_up = last_use;
  }
  ~Reading() {
    for (Saved<T>* s : all)
      if (--s->readers == 0 && s->used_up) s->gates = {}, s->cells = {}, s->inner = {}, s->norm = {};
  }
};

// directions: as many as forward had, of (saved, h0, c0, weights, options, dhn, dcn, dx, dh0, dc0, dweights). dx of the first
// receives the sum over the directions. After a last use `saved` cannot be used again.
template <class T>
void backward(Maybe<In<T>> x, Maybe<Tokens> tokens, In<T> y, Maybe<In<T>> dy, std::vector<nb::tuple> directions, bool last_use) {
  const Kernels<T>& k = kernels<T>();
  const size_t n = directions.size();
  check_directions(directions, 11, x.has_value() != tokens.has_value());
  const Input<T> input{x, tokens};
  std::vector<BackwardCall<T>> calls;
  std::vector<Saved<T>*> all;
  CallArrays arrays;
  Starts<T> starts;
  for (size_t d = 0; d < n; d++) {
    const nb::tuple& direction = directions[d];
    Saved<T>& saved = saved_of<T>(direction[0]);
    if (last_use && d && all[0] == &saved) throw std::invalid_argument("saved is that of the other direction");
    all.push_back(&saved);
    const Sizes& s = saved.sizes;
    const bool lstm = s.cell == CellKind::lstm;
    const LayerWeights<T> weights = Weights<T>(tuple_of(direction[3], "weights")).checked(s, arrays);
    const Options<T> options = options_of<T>(tuple_of(direction[4], "options"), s, weights, arrays);
    if (form_of(weights, options) != saved.form) throw std::invalid_argument("saved is of a call with other weights or options");
    starts.take(direction, s, arrays);
    const Maybe<In<T>> dhn = item<In<T>>(direction, 5, "dhn"), dcn = item<In<T>>(direction, 6, "dcn");
    const Maybe<Out<T>> dx = item<Out<T>>(direction, 7, "dx"), dh0 = item<Out<T>>(direction, 8, "dh0"),
                        dc0 = item<Out<T>>(direction, 9, "dc0");
    if (dh0 || dc0) check_states(s, dh0.has_value(), dc0.has_value(), "dh0 and dc0");
    if (dcn && !lstm) throw std::invalid_argument("dcn belongs to the lstm");
    if (tokens && dx) throw std::invalid_argument("integer input has no gradient dx");
    if (d && (dx.has_value() != (calls[0].dx != nullptr) || s.cell != calls[0].sizes.cell))
      throw std::invalid_argument("both directions must be of one cell, and have dx or not");
    const long R = s.rows(), B = s.steps.B, P = s.P, ldy = static_cast<long>(n) * P;
    const T* outputs = arrays(y, R * ldy, "y");
    const T* upstream = arrays(dy, R * ldy, "dy");
    calls.push_back({s, options, input.numbers(s, arrays), input.columns(s, arrays), starts.h0, starts.c0, weights, outputs + d * P, ldy,
                     saved.kept(), last_use, upstream ? upstream + d * P : nullptr, ldy, arrays(dhn, B * P, "dhn"),
                     arrays(dcn, B * s.H, "dcn"), arrays(dx, R * s.I, "dx"), arrays(dh0, B * P, "dh0"), arrays(dc0, B * s.H, "dc0"),
                     weight_gradients<T>(tuple_of(direction[10], "dweights"), weights, s, arrays)});
  }
  arrays.refuse_overlaps();
  const Reading<T> reading(all, last_use);
  const GilReleased release;
  k.backward(calls.data(), static_cast<int>(n), team_size());
  if (n == 2 && calls[0].dx) k.add(calls[0].dx, calls[1].dx, calls[0].sizes.rows() * calls[0].sizes.I, team_size());
}

}  // namespace backtime
