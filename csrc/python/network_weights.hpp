// The weights and options of several layers, read from the capsules of a flat list.
//
// Layers of D directions; K of them in all: layer 0, its reverse, layer 1.
#pragma once
#include "layout.hpp"
#include "weights.hpp"

namespace backtime {

// The weights of all layers and directions, borrowed; copies where they do not lie without gaps.
template <class T> class NetworkWeights {
 public:
  static constexpr int kFields = 11;
  std::vector<LayerWeights<T>> of;  // (K,)
  std::vector<Sizes> sizes;         // (K,) but for their steps
  std::vector<int> fields;          // which of the eleven each of them has

  // `present`: bits of the fields, in the order of LayerWeights; `given`: capsules, K times as many as there are fields.
  NetworkWeights(const std::string& cell, long present, const nb::list& given, size_t D) {
    for (int f = 0; f < kFields; f++)
      if (present >> f & 1) fields.push_back(f);
    if ((present & 3) != 3) throw std::invalid_argument("fields must have Wx and Wh");
    const size_t each = fields.size(), K = given.size() / each;
    if (!K || K * each != given.size() || K % D)
      throw std::invalid_argument("weights has " + std::to_string(given.size()) + " parts; expected a whole number of layers");
    for (size_t k = 0; k < K; k++) {
      std::array<Tensor, kFields> own;
      for (size_t i = 0; i < each; i++) own[fields[i]] = Tensor(given[k * each + i], kNames[fields[i]]);
      add(cell, own);
    }
  }
  // A new tensor of the shape of one field.
  NewTensor gradient(size_t k, int field) const {
    const Sizes& s = sizes[k];
    const long rows = gates_of(s.cell) * s.H;
    switch (field) {
      case 0: return NewTensor::make<T>({rows, s.I});
      case 1: return NewTensor::make<T>({rows, s.P});
      case 4: return NewTensor::make<T>({s.P, s.H});
      case 5: return NewTensor::make<T>({s.P});
      case 6: return NewTensor::make<T>({3, s.H});
      case 9:
      case 10: return NewTensor::make<T>({s.H});
      default: return NewTensor::make<T>({rows});
    }
  }
  long bias_size(size_t k) const { return gates_of(sizes[k].cell) * sizes[k].H; }

 private:
  static constexpr const char* kNames[kFields] = {"Wx", "Wh", "bx", "bh", "Wy", "by", "p", "gx", "gh", "gc", "bc"};
  std::vector<Buffer<T>> copies_;

  const T* read(const Tensor& tensor, std::initializer_list<long> shape) {
    if (!tensor) return nullptr;
    tensor.expect(shape);
    const T* data = tensor.data<T>();
    if (tensor.is_contiguous()) return data;
    T* to = copies_.emplace_back(tensor.size()).data();
    const long rows = tensor.size(0), columns = tensor.ndim() > 1 ? tensor.size(1) : 1, across = tensor.ndim() > 1 ? tensor.stride(1) : 0;
    for (long r = 0; r < rows; r++)
      for (long c = 0; c < columns; c++) to[r * columns + c] = data[r * tensor.stride(0) + c * across];
    return to;
  }
  const T* read_or_zeros(const Tensor& tensor, long size) {  // the kernels have no layer without biases
    if (tensor) return read(tensor, {size});
    T* to = copies_.emplace_back(size).data();
    return std::fill_n(to, size, T(0)), to;
  }
  void add(const std::string& cell, const std::array<Tensor, kFields>& own) {
    const auto& [Wx, Wh, bx, bh, Wy, by, p, gx, gh, gc, bc] = own;
    if (Wx.ndim() != 2 || Wh.ndim() != 2 || (Wy && Wy.ndim() != 2)) throw std::invalid_argument("Wx, Wh and Wy must have two dimensions");
    const CellKind kind = cell_kind(cell);
    const long I = Wx.size(1), P = Wh.size(1), H = Wy ? Wy.size(1) : P, rows = gates_of(kind) * H;
    const bool lstm = kind == CellKind::lstm;
    if (I < 1 || P < 1 || H < 1) throw std::invalid_argument("I and H must be at least 1");
    if ((cell == "jordan") != (Wy && !lstm)) throw std::invalid_argument("Wy belongs to the lstm and to jordan");
    if ((p || gc || bc) && !lstm) throw std::invalid_argument("p, gc and bc belong to the lstm");
    if (!gx != !gh || (lstm && !gx != !gc) || !gc != !bc)
      throw std::invalid_argument("gx and gh, and for the lstm gc and bc, come together");
    if (gx && kind == CellKind::gru_before) throw std::invalid_argument("layer norm needs the gru with the reset after the product");
    if (by && !Wy) throw std::invalid_argument("by comes with Wy");
    sizes.push_back({kind, {1, 1}, I, H, P});
    of.push_back({read(Wx, {rows, I}), read(Wh, {rows, P}), read_or_zeros(bx, rows), read_or_zeros(bh, rows), read(Wy, {P, H}),
                  read(by, {P}), read(p, {3, H}), read(gx, {rows}), read(gh, {rows}), read(gc, {H}), read(bc, {H})});
  }
};

// The numbers of a tensor that lies as the rows do, without gaps.
template <class T> const T* lying_as_rows(nb::handle value, long size, const char* name) {
  const Tensor tensor(value, name);
  if (tensor.size() != size || !tensor.is_contiguous()) tensor.refuse("does not lie as the rows do");
  return tensor.data<T>();
}

// (activation, output, coupled, keep_h, keep_c, h_mask) of one direction, or () for none of them; arrays lie as rows do.
template <class T> Options<T> network_options(nb::handle given, const Sizes& s, const LayerWeights<T>& w) {
  Options<T> o;
  const nb::tuple t = tuple_of(given, "options");
  if (t.size() == 0) return o;
  if (t.size() != 6) throw std::invalid_argument("options has " + std::to_string(t.size()) + " parts; expected 6");
  const auto keep = [&](nb::handle value, bool& keeps, T& number, const T*& rows, long width, const char* name) {
    keeps = !value.is_none();
    if (!keeps) return;
    if (PyFloat_Check(value.ptr())) number = static_cast<T>(PyFloat_AsDouble(value.ptr()));
    else rows = lying_as_rows<T>(value, s.rows() * width, name);
  };
  o.activation = activation(value_of<std::string>(t[0], "activation", "a string"));
  o.output = activation(value_of<std::string>(t[1], "output", "a string"));
  o.coupled = value_of<bool>(t[2], "coupled", "True or False");
  keep(t[3], o.keeps_h, o.keep_h, o.keep_h_rows, s.P, "keep_h");
  keep(t[4], o.keeps_c, o.keep_c, o.keep_c_rows, s.H, "keep_c");
  if (!t[5].is_none()) o.h_mask = lying_as_rows<T>(t[5], s.steps.B * s.P, "h_mask");
  if ((o.coupled || o.keeps_c) && s.cell != CellKind::lstm) throw std::invalid_argument("coupled and keep_c belong to the lstm");
  if (o.coupled && w.gx) throw std::invalid_argument("layer norm needs all four gates, and coupled has no row for f");
  return o;
}

}  // namespace backtime
