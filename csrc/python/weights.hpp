// The weights and the options of a layer from Python's tuples.
#pragma once
#include <algorithm>
#include <array>

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
  // The sizes that the shapes say, small enough to be multiplied with one another.
  Sizes sizes(const std::string& cell, const Steps& steps) const {
    if (Wx.ndim() != 2 || Wh.ndim() != 2 || (Wy && Wy->ndim() != 2)) throw std::invalid_argument("Wx, Wh and Wy must have two dimensions");
    const CellKind kind = cell_kind(cell);
    const long I = Wx.shape(1), P = Wh.shape(1), H = Wy ? Wy->shape(1) : P;
    if (steps.T < 1 || steps.B < 1 || I < 1 || P < 1 || H < 1) throw std::invalid_argument("T, B, I and H must be at least 1");
    if ((cell == "jordan") != (Wy && cell != "lstm")) throw std::invalid_argument("Wy belongs to the lstm and to jordan");
    for (const In<T>* W : {&Wx, &Wh})  // so that no size is claimed that no array has
      if (H > kMostElements || static_cast<long>(W->shape(0)) != gates_of(kind) * H)
        throw std::invalid_argument("Wx and Wh must have G*H rows");
    long size;
    if (__builtin_mul_overflow(steps.T, steps.B, &size) ||
        __builtin_mul_overflow(size, static_cast<long>(std::max(Wx.size(), Wh.size())), &size) || size > kMostElements)
      throw std::invalid_argument("T and B are larger than any array");
    return {kind, steps, I, H, P};
  }
  LayerWeights<T> checked(const Sizes& s, CallArrays& arrays) const {
    const long rows = gates_of(s.cell) * s.H;
    const bool lstm = s.cell == CellKind::lstm;
    if ((p || gc || bc) && !lstm) throw std::invalid_argument("p, gc and bc belong to the lstm");
    if (gx.has_value() != gh.has_value() || (lstm && gx.has_value() != gc.has_value()) || gc.has_value() != bc.has_value())
      throw std::invalid_argument("gx and gh, and for the lstm gc and bc, come together");
    if (gx && s.cell == CellKind::gru_before) throw std::invalid_argument("layer norm needs the gru with the reset after the product");
    if (by && !Wy) throw std::invalid_argument("by comes with Wy");
    return {arrays(Wx, rows * s.I, "Wx"), arrays(Wh, rows * s.P, "Wh"), arrays(bx, rows, "bx"),  arrays(bh, rows, "bh"),
            arrays(Wy, s.P * s.H, "Wy"),  arrays(by, s.P, "by"),        arrays(p, 3 * s.H, "p"), arrays(gx, rows, "gx"),
            arrays(gh, rows, "gh"),       arrays(gc, s.H, "gc"),        arrays(bc, s.H, "bc")};
  }
};

template <class T> WeightGradients<T> weight_gradients(const nb::tuple& d, const LayerWeights<T>& w, const Sizes& s, CallArrays& arrays) {
  const long rows = gates_of(s.cell) * s.H;
  const auto part = [&](size_t i, const T* weight, long size, const char* name) -> T* {
    const Maybe<Out<T>> array = item<Out<T>>(d, i, name);
    if (array.has_value() != (weight != nullptr)) throw std::invalid_argument(std::string(name) + " must be there where its weight is");
    return arrays(array, size, name);
  };
  return {part(0, w.Wx, rows * s.I, "dWx"), part(1, w.Wh, rows * s.P, "dWh"), part(2, w.bx, rows, "dbx"),  part(3, w.bh, rows, "dbh"),
          part(4, w.Wy, s.P * s.H, "dWy"),  part(5, w.by, s.P, "dby"),        part(6, w.p, 3 * s.H, "dp"), part(7, w.gx, rows, "dgx"),
          part(8, w.gh, rows, "dgh"),       part(9, w.gc, s.H, "dgc"),        part(10, w.bc, s.H, "dbc")};
}

// A share of the state before: None, a number, or an array of `size`.
template <class T> const T* keep_of(nb::handle value, bool& keeps, T& number, long size, const char* name, CallArrays& arrays) {
  keeps = !value.is_none();
  if (!keeps) return nullptr;
  if (!PyFloat_Check(value.ptr())) return arrays(array_of<In<T>>(value, name), size, name);
  number = static_cast<T>(PyFloat_AsDouble(value.ptr()));
  return nullptr;
}

// (activation, output, coupled, keep_h, keep_c, h_mask, cut), or () for none of them.
template <class T> Options<T> options_of(const nb::tuple& t, const Sizes& s, const LayerWeights<T>& w, CallArrays& arrays) {
  Options<T> o;
  if (t.size() == 0) return o;
  if (t.size() != 7) throw std::invalid_argument("options has " + std::to_string(t.size()) + " parts; expected 7");
  o.activation = activation(value_of<std::string>(t[0], "activation", "a string"));
  o.output = activation(value_of<std::string>(t[1], "output", "a string"));
  o.coupled = value_of<bool>(t[2], "coupled", "True or False");
  o.keep_h_rows = keep_of(t[3], o.keeps_h, o.keep_h, s.rows() * s.P, "keep_h", arrays);
  o.keep_c_rows = keep_of(t[4], o.keeps_c, o.keep_c, s.rows() * s.H, "keep_c", arrays);
  o.h_mask = arrays(item<In<T>>(t, 5, "h_mask"), s.steps.B * s.P, "h_mask");
  o.cut = arrays(item<In<uint8_t>>(t, 6, "cut"), s.rows(), "cut");
  if ((o.coupled || o.keeps_c) && s.cell != CellKind::lstm) throw std::invalid_argument("coupled and keep_c belong to the lstm");
  if (o.coupled && w.gx) throw std::invalid_argument("layer norm needs all four gates, and coupled has no row for f");
  return o;
}

// What of a call's weights and options backward must find as forward had it: which buffers are kept hangs on it.
using Form = std::array<double, 16>;
template <class T> Form form_of(const LayerWeights<T>& w, const Options<T>& o) {
  const auto number = [](auto value) { return static_cast<double>(value); };
  const auto there = [](const void* p) { return p ? 1.0 : 0.0; };
  return {there(w.Wy),          there(w.by),          there(w.p),        there(w.gx),       there(w.gc),      number(o.activation),
          number(o.output),     number(o.coupled),    number(o.keeps_h), number(o.keeps_c), number(o.keep_h), number(o.keep_c),
          there(o.keep_h_rows), there(o.keep_c_rows), there(o.h_mask),   there(o.cut)};
}

}  // namespace backtime
