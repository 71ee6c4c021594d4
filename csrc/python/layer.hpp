// One recurrent layer, forward and backward, in one direction or in both at once.
#pragma once
#include <algorithm>

#include "arrays.hpp"

namespace backtime {

template <class T> struct Weights {  // the NamedTuple of reference/weights.py, borrowed
  In<T> Wx, Wh, bx, bh;
  Maybe<In<T>> Wy, by, p, gx, gh, gc, bc;
  explicit Weights(const nb::tuple& w) {
    if (w.size() != 4 && w.size() != 11) throw std::invalid_argument("weights has " + std::to_string(w.size()) + " parts; expected 11");
    Wx = array_of<In<T>>(w[0], "Wx"), Wh = array_of<In<T>>(w[1], "Wh"), bx = array_of<In<T>>(w[2], "bx"), bh = array_of<In<T>>(w[3], "bh");
    if (w.size() == 4) return;
    Wy = item<In<T>>(w, 4, "Wy"), by = item<In<T>>(w, 5, "by"), p = item<In<T>>(w, 6, "p"), gx = item<In<T>>(w, 7, "gx");
    gh = item<In<T>>(w, 8, "gh"), gc = item<In<T>>(w, 9, "gc"), bc = item<In<T>>(w, 10, "bc");
  }
  Sizes sizes(const std::string& cell, const Steps& steps) const {
    if (Wx.ndim() != 2 || Wh.ndim() != 2 || (Wy && Wy->ndim() != 2)) throw std::invalid_argument("Wx, Wh and Wy must have two dimensions");
    const long I = Wx.shape(1), P = Wh.shape(1), H = Wy ? Wy->shape(1) : P;
    if (steps.T < 1 || steps.B < 1 || I < 1 || P < 1 || H < 1) throw std::invalid_argument("T, B, I and H must be at least 1");
    long size;
    if (__builtin_mul_overflow(steps.T, steps.B, &size) ||
        __builtin_mul_overflow(size, static_cast<long>(std::max(Wx.size(), Wh.size())), &size) || size > kMostElements)
      throw std::invalid_argument("T and B are larger than any array");
    if ((cell == "jordan") != (Wy && cell != "lstm")) throw std::invalid_argument("Wy belongs to the lstm and to jordan");
    return {cell_kind(cell), steps, I, H, P};
  }
  LayerWeights<T> checked(const Sizes& s) const {
    const long rows = gates_of(s.cell) * s.H;
    const bool lstm = s.cell == CellKind::lstm;
    if ((p || gc || bc) && !lstm) throw std::invalid_argument("p, gc and bc belong to the lstm");
    if (gx.has_value() != gh.has_value() || (lstm && gx.has_value() != gc.has_value()) || gc.has_value() != bc.has_value())
      throw std::invalid_argument("gx and gh, and for the lstm gc and bc, come together");
    if (gx && s.cell == CellKind::gru_before) throw std::invalid_argument("layer norm needs the gru with the reset after the product");
    if (by && !Wy) throw std::invalid_argument("by comes with Wy");
    return {of_size(Wx, rows * s.I, "Wx"), of_size(Wh, rows * s.P, "Wh"), of_size(bx, rows, "bx"), of_size(bh, rows, "bh"),
            of_size(Wy, s.P * s.H, "Wy"), of_size(by, s.P, "by"), of_size(p, 3 * s.H, "p"), of_size(gx, rows, "gx"),
            of_size(gh, rows, "gh"), of_size(gc, s.H, "gc"), of_size(bc, s.H, "bc")};
  }
};

template <class T> WeightGradients<T> weight_gradients(nb::tuple d, const LayerWeights<T>& w, const Sizes& s) {
  const long rows = gates_of(s.cell) * s.H;
  const auto part = [&](size_t i, const T* weight, long size, const char* name) -> T* {
    const Maybe<Out<T>> array = item<Out<T>>(d, i, name);
    if (array.has_value() != (weight != nullptr)) throw std::invalid_argument(std::string(name) + " must be there where its weight is");
    return of_size(array, size, name);
  };
  return {part(0, w.Wx, rows * s.I, "dWx"), part(1, w.Wh, rows * s.P, "dWh"), part(2, w.bx, rows, "dbx"), part(3, w.bh, rows, "dbh"),
          part(4, w.Wy, s.P * s.H, "dWy"), part(5, w.by, s.P, "dby"), part(6, w.p, 3 * s.H, "dp"), part(7, w.gx, rows, "dgx"),
          part(8, w.gh, rows, "dgh"), part(9, w.gc, s.H, "dgc"), part(10, w.bc, s.H, "dbc")};
}

// (activation, output, coupled, keep_h, keep_c, h_mask, cut); a keep is None, a number or an array; () for none of them.
template <class T> struct OptionArrays {
  Maybe<In<T>> keep_h, keep_c, h_mask;
  Maybe<In<uint8_t>> cut;
  Options<T> options;

  OptionArrays(nb::tuple t, const Sizes& s) {
    if (t.size() == 0) return;
    if (t.size() != 7) throw std::invalid_argument("options has " + std::to_string(t.size()) + " parts; expected 7");
    options.activation = activation(nb::cast<std::string>(t[0]));
    options.output = activation(nb::cast<std::string>(t[1]));
    options.coupled = nb::cast<bool>(t[2]);
    keep(t[3], options.keeps_h, options.keep_h, keep_h), keep(t[4], options.keeps_c, options.keep_c, keep_c);
    h_mask = item<In<T>>(t, 5, "h_mask"), cut = item<In<uint8_t>>(t, 6, "cut");
    if ((options.coupled || options.keeps_c) && s.cell != CellKind::lstm) throw std::invalid_argument("coupled and keep_c belong to the lstm");
    options.keep_h_rows = of_size(keep_h, s.rows() * s.P, "keep_h"), options.keep_c_rows = of_size(keep_c, s.rows() * s.H, "keep_c");
    options.h_mask = of_size(h_mask, s.steps.B * s.P, "h_mask"), options.cut = of_size(cut, s.rows(), "cut");
  }

 private:
  static void keep(nb::handle value, bool& keeps, T& number, Maybe<In<T>>& rows) {
    keeps = !value.is_none();
    if (!keeps) return;
    if (PyFloat_Check(value.ptr())) number = static_cast<T>(nb::cast<double>(value));
    else rows = array_of<In<T>>(value, "keep_h or keep_c");
  }
};

template <class T> struct Saved {  // what forward keeps for backward; its buffers go back to the pool with it
  std::string cell;
  Sizes sizes;
  std::vector<long> offsets;
  Buffer<T> gates, cells, inner, norm;
  std::vector<std::pair<long, long>> state_shapes() const {  // of h, and of c for the lstm
    if (sizes.cell != CellKind::lstm) return {{sizes.steps.B, sizes.P}};
    return {{sizes.steps.B, sizes.P}, {sizes.steps.B, sizes.H}};
  }
  Kept<T> kept() const { return {gates.data(), cells.data(), inner.data(), norm.data()}; }
};

// Offsets of the steps from their sizes.
inline std::vector<long> offsets_of(const Maybe<Tokens>& batch_sizes, long T, long B) {
  if (!batch_sizes) return {};
  const int64_t* sizes = of_size(*batch_sizes, T, "batch_sizes");
  std::vector<long> offsets(1, 0);
  for (long t = 0; t < T; t++) {
    if (sizes[t] < 1 || sizes[t] > (t ? sizes[t - 1] : B)) throw std::invalid_argument("batch_sizes must fall from at most B to at least 1");
    offsets.push_back(offsets.back() + sizes[t]);
  }
  return offsets;
}

// The start of a direction: h0, and c0 for the lstm; zeros for None.
template <class T> class Start {
  Maybe<In<T>> h0_, c0_;
  Buffer<T> zeros_;

 public:
  const T *h0, *c0;
  Start(const nb::tuple& direction, const Sizes& s) : h0_(item<In<T>>(direction, 1, "h0")), c0_(item<In<T>>(direction, 2, "c0")) {
    const bool lstm = s.cell == CellKind::lstm;
    const long B = s.steps.B, widest = lstm ? std::max(s.H, s.P) : s.P;
    if (c0_ && !lstm) throw std::invalid_argument("c0 belongs to the lstm");
    if (!h0_ || (lstm && !c0_)) zeros_ = Buffer<T>(B * widest), std::fill(zeros_.data(), zeros_.data() + B * widest, T(0));
    h0 = h0_ ? of_size(h0_, B * s.P, "h0") : zeros_.data();
    c0 = c0_ ? of_size(c0_, B * s.H, "c0") : lstm ? zeros_.data() : nullptr;
  }
};

// directions: one or two of (reverse, h0, c0, weights, options, hn, cn); y has their outputs side by side.
template <class T>
nb::object forward(const std::string& cell, std::pair<long, long> shape, Maybe<Tokens> batch_sizes, Maybe<In<T>> x, Maybe<Tokens> tokens,
                   std::vector<nb::tuple> directions, Out<T> y, bool save) {
  const Kernels<T>& k = kernels<T>();
  const size_t n = directions.size();
  if (n < 1 || n > 2) throw std::invalid_argument("directions has " + std::to_string(n) + " parts; expected 1 or 2");
  if (x.has_value() == tokens.has_value()) throw std::invalid_argument("exactly one of x and tokens is needed");
  std::vector<ForwardCall<T>> calls;
  std::vector<Saved<T>> saved;
  std::vector<OptionArrays<T>> options;  // their arrays live until the call is over
  std::vector<Start<T>> starts;
  saved.reserve(n), options.reserve(n), starts.reserve(n);
  for (size_t d = 0; d < n; d++) {
    const nb::tuple& direction = directions[d];
    if (direction.size() != 7) throw std::invalid_argument("a direction has 7 parts");
    saved.push_back({cell, {}, offsets_of(batch_sizes, shape.first, shape.second), {}, {}, {}, {}});
    Saved<T>& own = saved.back();
    const Weights<T> w(nb::cast<nb::tuple>(direction[3]));
    own.sizes = w.sizes(cell, {shape.first, shape.second, batch_sizes ? own.offsets.data() : nullptr, nb::cast<bool>(direction[0])});
    const Sizes& s = own.sizes;
    const LayerWeights<T> weights = w.checked(s);
    options.emplace_back(nb::cast<nb::tuple>(direction[4]), s);
    const Lengths lengths = k.lengths(s, weights);
    if (save) own.gates = Buffer<T>(lengths.gates), own.cells = Buffer<T>(lengths.cells), own.inner = Buffer<T>(lengths.inner), own.norm = Buffer<T>(lengths.norm);
    const Start<T>& start = starts.emplace_back(direction, s);
    const Maybe<Out<T>> hn = item<Out<T>>(direction, 5, "hn"), cn = item<Out<T>>(direction, 6, "cn");
    if (!hn || cn.has_value() != (s.cell == CellKind::lstm)) throw std::invalid_argument("hn is needed, and cn by the lstm alone");
    const long R = s.rows(), B = s.steps.B, P = s.P, ldy = static_cast<long>(n) * P;
    calls.push_back({s, options.back().options, of_size(x, R * s.I, "x"), tokens ? tokens_below(*tokens, R, s.I, "x") : nullptr,
                     start.h0, start.c0, weights, nullptr, of_size(y, R * ldy, "y") + d * P, ldy,
                     of_size(hn, B * P, "hn"), of_size(cn, B * s.H, "cn"), own.kept()});
  }
  {
    const GilReleased release;
    k.forward(calls.data(), static_cast<int>(n), team_size());
  }
  if (!save) return nb::none();
  nb::list out;
  for (Saved<T>& own : saved) out.append(nb::cast(std::move(own)));
  return out;
}

// directions: as many as forward had, of (saved, h0, c0, weights, options, dhn, dcn, dx, dh0, dc0, dweights). dx of the first
// receives the sum over the directions.
template <class T>
void backward(Maybe<In<T>> x, Maybe<Tokens> tokens, In<T> y, Maybe<In<T>> dy, std::vector<nb::tuple> directions) {
  const Kernels<T>& k = kernels<T>();
  const size_t n = directions.size();
  if (n < 1 || n > 2) throw std::invalid_argument("directions has " + std::to_string(n) + " parts; expected 1 or 2");
  if (x.has_value() == tokens.has_value()) throw std::invalid_argument("exactly one of x and tokens is needed");
  std::vector<BackwardCall<T>> calls;
  std::vector<OptionArrays<T>> options;
  std::vector<Start<T>> starts;
  options.reserve(n), starts.reserve(n);
  for (size_t d = 0; d < n; d++) {
    const nb::tuple& direction = directions[d];
    if (direction.size() != 11) throw std::invalid_argument("a direction has 11 parts");
    const Saved<T>& saved = nb::cast<const Saved<T>&>(direction[0]);
    const Sizes& s = saved.sizes;
    const Weights<T> w(nb::cast<nb::tuple>(direction[3]));
    const LayerWeights<T> weights = w.checked(s);
    options.emplace_back(nb::cast<nb::tuple>(direction[4]), s);
    const Start<T>& start = starts.emplace_back(direction, s);
    const Maybe<Out<T>> dx = item<Out<T>>(direction, 7, "dx"), dh0 = item<Out<T>>(direction, 8, "dh0"), dc0 = item<Out<T>>(direction, 9, "dc0");
    if (tokens && dx) throw std::invalid_argument("integer input has no gradient dx");
    if (dc0.has_value() != (dh0 && s.cell == CellKind::lstm)) throw std::invalid_argument("dc0 comes with dh0, for the lstm alone");
    const long R = s.rows(), B = s.steps.B, P = s.P, ldy = static_cast<long>(n) * P;
    const T* upstream = of_size(dy, R * ldy, "dy");
    calls.push_back({s, options.back().options, of_size(x, R * s.I, "x"), tokens ? tokens_below(*tokens, R, s.I, "x") : nullptr,
                     start.h0, start.c0, weights, of_size(y, R * ldy, "y") + d * P, ldy,
                     saved.kept(), upstream ? upstream + d * P : nullptr, ldy,
                     of_size(item<In<T>>(direction, 5, "dhn"), B * P, "dhn"), of_size(item<In<T>>(direction, 6, "dcn"), B * s.H, "dcn"),
                     of_size(dx, R * s.I, "dx"), of_size(dh0, B * P, "dh0"), of_size(dc0, B * s.H, "dc0"),
                     weight_gradients<T>(nb::cast<nb::tuple>(direction[10]), weights, s)});
  }
  const GilReleased release;
  k.backward(calls.data(), static_cast<int>(n), team_size());
  if (n == 2 && calls[0].dx && calls[1].dx) k.add(calls[0].dx, calls[1].dx, calls[0].sizes.rows() * calls[0].sizes.I, team_size());
}

}  // namespace backtime
