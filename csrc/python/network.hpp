// Layers, one upon the other and each in one direction or in both, forward and backward: what backtime.nn calls.
//
// L layers of D directions; K = L D of them, layer 0, its reverse, layer 1. R rows: one for each step of each sequence.
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
    if (!K || K * each != given.size() || K % D) throw std::invalid_argument("weights has " + std::to_string(given.size()) + " parts; expected a whole number of layers");
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
      case 9: case 10: return NewTensor::make<T>({s.H});
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
    if (!gx != !gh || (lstm && !gx != !gc) || !gc != !bc) throw std::invalid_argument("gx and gh, and for the lstm gc and bc, come together");
    if (gx && kind == CellKind::gru_before) throw std::invalid_argument("layer norm needs the gru with the reset after the product");
    if (by && !Wy) throw std::invalid_argument("by comes with Wy");
    sizes.push_back({kind, {1, 1}, I, H, P});
    of.push_back({read(Wx, {rows, I}), read(Wh, {rows, P}), read_or_zeros(bx, rows), read_or_zeros(bh, rows), read(Wy, {P, H}), read(by, {P}),
                  read(p, {3, H}), read(gx, {rows}), read(gh, {rows}), read(gc, {H}), read(bc, {H})});
  }
};

// (activation, output, coupled, keep_h, keep_c, h_mask) of one direction, or () for none of them; arrays lie as rows do.
template <class T> Options<T> network_options(nb::handle given, const Sizes& s, const LayerWeights<T>& w) {
  Options<T> o;
  const nb::tuple t = tuple_of(given, "options");
  if (t.size() == 0) return o;
  if (t.size() != 6) throw std::invalid_argument("options has " + std::to_string(t.size()) + " parts; expected 6");
  const auto rows_of = [](nb::handle value, long size, const char* name) -> const T* {
    const Tensor tensor(value, name);
    if (tensor.size() != size || !tensor.is_contiguous()) tensor.refuse("does not lie as the rows do");
    return tensor.data<T>();
  };
  const auto keep = [&](nb::handle value, bool& keeps, T& number, const T*& rows, long width, const char* name) {
    keeps = !value.is_none();
    if (!keeps) return;
    if (PyFloat_Check(value.ptr())) number = static_cast<T>(PyFloat_AS_DOUBLE(value.ptr()));
    else rows = rows_of(value, s.rows() * width, name);
  };
  o.activation = activation(value_of<std::string>(t[0], "activation", "a string"));
  o.output = activation(value_of<std::string>(t[1], "output", "a string"));
  o.coupled = value_of<bool>(t[2], "coupled", "True or False");
  keep(t[3], o.keeps_h, o.keep_h, o.keep_h_rows, s.P, "keep_h");
  keep(t[4], o.keeps_c, o.keep_c, o.keep_c_rows, s.H, "keep_c");
  if (!t[5].is_none()) o.h_mask = rows_of(t[5], s.steps.B * s.P, "h_mask");
  if ((o.coupled || o.keeps_c) && s.cell != CellKind::lstm) throw std::invalid_argument("coupled and keep_c belong to the lstm");
  if (o.coupled && w.gx) throw std::invalid_argument("layer norm needs all four gates, and coupled has no row for f");
  return o;
}

template <class T> struct SavedDirection {  // what one direction of one layer keeps for backward
  Sizes sizes;
  Form form;
  Buffer<T> h0, c0, gates, cells, inner, norm;
  Buffer<uint8_t> cut;
  Kept<T> kept() const { return {gates.data(), cells.data(), inner.data(), norm.data()}; }
};
template <class T> struct SavedLayer {
  std::vector<SavedDirection<T>> directions;
  Buffer<T> input, output;             // copies of their own, where there are
  const T *x = nullptr, *y = nullptr;  // (R, I) and (R, D P); null where they are the caller's x and y, to be given again
};
template <class T> struct SavedNetwork {
  explicit SavedNetwork(Layout&& own) : layout(std::move(own)) {}
  Layout layout;
  Buffer<int64_t> tokens;
  std::vector<SavedLayer<T>> layers;
  bool sums = false;  // the two directions of a layer are added
  bool used_up = false;
};

// Integer input as columns of the first Wx: the caller's own where they lie so, else a copy.
template <class T> const int64_t* columns(const Tensor& x, const Layout& layout, long limit, Buffer<int64_t>& copy) {
  const long R = layout.rows();
  const int64_t* found = nullptr;
  if (x.holds<int64_t>() && layout.lies_in_rows(x, 1)) {
    found = x.data<int64_t>();
  } else {
    copy = Buffer<int64_t>(R);
    if (x.holds<int64_t>()) layout.template into_rows<int64_t>(x, 1, copy.data());
    else if (x.holds<int32_t>()) layout.template into_rows<int32_t>(x, 1, copy.data());
    else if (x.holds<int16_t>()) layout.template into_rows<int16_t>(x, 1, copy.data());
    else if (x.holds<int8_t>()) layout.template into_rows<int8_t>(x, 1, copy.data());
    else layout.template into_rows<uint8_t>(x, 1, copy.data());
    found = copy.data();
  }
  for (long r = 0; r < R; r++)
    if (found[r] < 0 || found[r] >= limit) x.refuse("holds " + std::to_string(found[r]) + "; expected 0 to " + std::to_string(limit - 1));
  return found;
}
// A tensor with N features as rows: itself where it lies so, else a copy.
template <class T> const T* as_rows(const Tensor& x, const Layout& layout, long N, Buffer<T>& copy) {
  if (layout.lies_in_rows(x, N)) return x.data<T>();
  copy = Buffer<T>(layout.rows() * N);
  layout.template into_rows<T>(x, N, copy.data());
  return copy.data();
}
template <class F> void parallel_elements(long n, F&& f) {
  parallel(n < 100000 ? 1 : team_size(), static_cast<double>(n), [&](const Member& me) {
    long first, last;
    me.share(n, 64, first, last);
    f(first, last);
  });
}
template <class T> void multiply(const T* a, const T* b, T* to, long n) {
  parallel_elements(n, [&](long first, long last) {
    for (long i = first; i < last; i++) to[i] = a[i] * b[i];
  });
}
// to (R, P) = the halves of from (R, 2P), added.
template <class T> void add_halves(const T* from, T* to, long R, long P) {
  parallel_elements(R, [&](long first, long last) {
    for (long r = first; r < last; r++)
      for (long n = 0; n < P; n++) to[r * P + n] = from[r * 2 * P + n] + from[r * 2 * P + P + n];
  });
}
// What multiplies the output of each layer but the last, (R, width) each: dropout. Empty for nothing.
template <class T> std::vector<const T*> masks_of(const nb::tuple& given, size_t layers, long size) {
  std::vector<const T*> masks(layers, nullptr);
  if (given.size() == 0) return masks;
  if (given.size() + 1 != layers) throw std::invalid_argument("masks must be one fewer than layers");
  for (size_t l = 0; l + 1 < layers; l++) {
    const Tensor mask(given[l], "mask");
    if (mask.size() != size || !mask.is_contiguous()) mask.refuse("does not lie as the rows do");
    masks[l] = mask.data<T>();
  }
  return masks;
}

// form: the directions (1 forward, 2 reverse, 3 both), whether they are added, and batch_first and one_step as Layout has
// them. Returns (y, h_n, c_n, saved): y shaped as x is, None for one step, whose output is h_n; c_n of the lstm, saved where asked
// for, else None.
template <class T>
nb::object forward_network(const std::string& cell, long fields, std::tuple<int, bool, bool, bool> form, nb::handle x_, const nb::list& given,
                           nb::handle h0_, nb::handle c0_, nb::handle sequences, nb::handle reset_, const nb::tuple& options,
                           const nb::tuple& masks_, bool save) {
  const auto [directions, sums, batch_first, one_step] = form;
  if (directions < 1 || directions > 3) throw std::invalid_argument("directions is " + std::to_string(directions) + "; expected 1 to 3");
  const size_t D = directions == 3 ? 2 : 1;
  const Kernels<T>& k = kernels<T>();
  const NetworkWeights<T> weights(cell, fields, given, D);
  const size_t K = weights.of.size(), L = K / D;
  if (sums && D == 1) throw std::invalid_argument("one direction has nothing to be added to");
  const Tensor x(x_, "x"), h0 = Tensor::optional(h0_, "h0"), c0 = Tensor::optional(c0_, "c0"), reset = Tensor::optional(reset_, "reset");
  SavedNetwork<T> saved(Layout(x, batch_first, one_step, sequences));
  saved.sums = sums;
  const Layout& layout = saved.layout;
  const long R = layout.rows(), B = layout.B;
  if (R == 0) throw std::invalid_argument("there is no row to compute");
  const bool lstm = weights.sizes[0].cell == CellKind::lstm;
  if (c0 && (!lstm || !h0)) throw std::invalid_argument("c0 belongs to the lstm, beside h0");
  const long P = weights.sizes[0].P, H = weights.sizes[0].H, width = sums ? P : static_cast<long>(D) * P;
  for (size_t n = 0; n < K; n++) {
    const Sizes& s = weights.sizes[n];
    if (s.P != P || s.H != H || s.I != (n < D ? weights.sizes[0].I : width)) throw std::invalid_argument("the weights of the layers do not fit one another");
    long size;
    if (__builtin_mul_overflow(R, 8 * (s.I + s.H + s.P), &size) || size > kMostElements) throw std::invalid_argument("x is larger than any array");
  }
  const std::vector<const T*> masks = masks_of<T>(masks_, L, R * width);
  if (options.size() && options.size() != K) throw std::invalid_argument("options must be one of each layer and direction");

  // What enters the first layer.
  Buffer<T> first_input;
  const int64_t* tokens = nullptr;
  const T* input = nullptr;
  if (x.holds_integers()) tokens = columns<T>(x, layout, weights.sizes[0].I, saved.tokens);
  else input = as_rows(x, layout, weights.sizes[0].I, first_input);

  // What comes out.
  NewTensor y = one_step ? NewTensor() : layout.template tensor<T>(width);
  NewTensor hn = layout.template state<T>(K, P), cn = lstm ? layout.template state<T>(K, H) : NewTensor();
  const bool into_y = y && layout.rows_are_the_tensor() && !sums;

  std::vector<std::vector<ForwardCall<T>>> calls(L);
  for (size_t l = 0; l < L; l++) {
    SavedLayer<T>& layer = saved.layers.emplace_back();
    layer.directions.resize(D);
    const long ldy = static_cast<long>(D) * P;
    const bool last = l + 1 == L;
    if (!(last && into_y)) layer.output = Buffer<T>(R * ldy), layer.y = layer.output.data();
    T* rows = last && into_y ? y.data<T>() : layer.output.data();
    layer.x = l ? nullptr : first_input.data();
    for (size_t d = 0; d < D; d++) {
      const size_t n = l * D + d;
      const bool reverse = directions == 2 || d == 1;
      SavedDirection<T>& own = layer.directions[d];
      own.sizes = weights.sizes[n];
      own.sizes.steps = layout.steps(reverse);
      const Sizes& s = own.sizes;
      Options<T> o = options.size() ? network_options<T>(options[n], s, weights.of[n]) : Options<T>();
      if (reset) {
        own.cut = Buffer<uint8_t>(R);
        layout.cuts(reset, reverse, own.cut.data());
        o.cut = own.cut.data();
      }
      own.form = form_of(weights.of[n], o);
      own.h0 = Buffer<T>(B * P);
      h0 ? layout.template state_into_rows<T>(h0, K, n, P, own.h0.data()) : (void)std::fill_n(own.h0.data(), B * P, T(0));
      if (lstm) {
        own.c0 = Buffer<T>(B * H);
        c0 ? layout.template state_into_rows<T>(c0, K, n, H, own.c0.data()) : (void)std::fill_n(own.c0.data(), B * H, T(0));
      }
      if (save) {
        const Lengths lengths = k.lengths(s, weights.of[n]);
        own.gates = Buffer<T>(lengths.gates), own.cells = Buffer<T>(lengths.cells);
        own.inner = Buffer<T>(lengths.inner), own.norm = Buffer<T>(lengths.norm);
      }
      calls[l].push_back({s, o, nullptr, nullptr, own.h0.data(), own.c0.data(), weights.of[n], nullptr, rows + d * P, ldy,
                          hn.data<T>() + n * B * P, lstm ? cn.data<T>() + n * B * H : nullptr, own.kept()});
    }
  }
  {
    const GilReleased release;
    for (size_t l = 0; l < L; l++) {
      SavedLayer<T>& layer = saved.layers[l];
      for (ForwardCall<T>& call : calls[l]) call.x = input, call.tokens = l ? nullptr : tokens;
      k.forward(calls[l].data(), static_cast<int>(D), team_size());
      const T* output = l + 1 == L && into_y ? y.data<T>() : layer.output.data();
      if (l + 1 == L) {
        if (!y || into_y) continue;
        Buffer<T> added;
        T* to = layout.rows_are_the_tensor() ? y.data<T>() : nullptr;
        if (sums) {
          if (!to) added = Buffer<T>(R * P), to = added.data();
          add_halves(output, to, R, P);
          output = to;
        }
        if (!layout.rows_are_the_tensor()) layout.from_rows(output, width, y.data<T>());
        continue;
      }
      SavedLayer<T>& above = saved.layers[l + 1];
      if (sums || masks[l]) above.input = Buffer<T>(R * width);
      if (sums) add_halves(output, above.input.data(), R, P), output = above.input.data();
      if (masks[l]) multiply(output, masks[l], above.input.data(), R * width), output = above.input.data();
      above.x = input = output;
      if (!save) layer.input = {};
    }
    for (size_t n = 0; n < K; n++) {
      layout.state_from_rows(hn.data<T>() + n * B * P, P);
      if (lstm) layout.state_from_rows(cn.data<T>() + n * B * H, H);
    }
  }
  if (first_input) saved.layers[0].input = std::move(first_input);
  nb::object kept = save ? nb::cast(std::move(saved)) : nb::none();
  return nb::make_tuple(std::move(y).capsule(), std::move(hn).capsule(), std::move(cn).capsule(), kept);
}

// Gradients of x, h0, c0 and the weights, in this order, None for what is not needed. What was saved is used up. `need` is
// of the same order; x, y are as forward had and gave them, dy, dhn, dcn as these are, None for zeros.
template <class T>
nb::list backward_network(SavedNetwork<T>& saved, const std::string& cell, long fields, nb::handle x_, const nb::list& given, nb::handle y_,
                          nb::handle dy_, nb::handle dhn_, nb::handle dcn_, const nb::tuple& options, const nb::tuple& masks_, const nb::tuple& need) {
  if (saved.used_up) throw std::invalid_argument("saved was used up by a backward before");
  const Kernels<T>& k = kernels<T>();
  const size_t L = saved.layers.size(), D = saved.layers[0].directions.size(), K = L * D;
  const NetworkWeights<T> weights(cell, fields, given, D);
  const size_t each = weights.fields.size();
  if (weights.of.size() != K) throw std::invalid_argument("weights are of another number of layers");
  if (need.size() != 3 + K * each) throw std::invalid_argument("need must be of x, h0, c0 and each weight");
  const auto needs = [&](size_t i) { return need[i].ptr() == Py_True; };
  const Layout& layout = saved.layout;
  const Sizes& s0 = saved.layers[0].directions[0].sizes;
  const long R = layout.rows(), B = layout.B, P = s0.P, H = s0.H, width = saved.sums ? P : static_cast<long>(D) * P;
  const bool lstm = s0.cell == CellKind::lstm;
  const Tensor x(x_, "x"), y = Tensor::optional(y_, "y"), dy = Tensor::optional(dy_, "dy");
  const Tensor dhn = Tensor::optional(dhn_, "dhn"), dcn = Tensor::optional(dcn_, "dcn");
  if (dcn && !lstm) throw std::invalid_argument("dcn belongs to the lstm");
  const std::vector<const T*> masks = masks_of<T>(masks_, L, R * width);
  if (options.size() && options.size() != K) throw std::invalid_argument("options must be one of each layer and direction");
  const bool need_x = needs(0), need_state = needs(1) || needs(2);
  if (need_x && x.holds_integers()) throw std::invalid_argument("integer input has no gradient dx");
  size_t lowest = need_x || need_state ? 0 : L;  // what lies below is not needed
  for (size_t n = 0; n < K && lowest == L; n++)
    for (size_t i = 0; i < each; i++)
      if (needs(3 + n * each + i)) lowest = std::min(lowest, n / D);

  // What comes in.
  Buffer<T> dy_copy, x_copy;
  Buffer<int64_t> no_copy;
  const T* upstream = dy ? as_rows(dy, layout, width, dy_copy) : nullptr;
  const T* x0 = saved.layers[0].x;
  const int64_t* tokens = nullptr;
  if (x.holds_integers()) tokens = saved.tokens ? saved.tokens.data() : columns<T>(x, layout, s0.I, no_copy);
  else if (!x0) x0 = as_rows(x, layout, s0.I, x_copy);
  const T* y_top = saved.layers[L - 1].y;
  Buffer<T> y_copy;
  if (!y_top) {
    if (!y) throw std::invalid_argument("y is needed");
    y_top = as_rows(y, layout, width, y_copy);
  }
  std::vector<Buffer<T>> scratch;
  const auto rows_of_state = [&](const Tensor& state, size_t n, long W) -> const T* {
    if (!state) return nullptr;
    T* rows = scratch.emplace_back(B * W).data();
    layout.template state_into_rows<T>(state, K, n, W, rows);
    return rows;
  };

  // What goes out.
  NewTensor dx = need_x ? layout.template tensor<T>(s0.I) : NewTensor();
  NewTensor dh0 = need_state ? layout.template state<T>(K, P) : NewTensor(), dc0 = need_state && lstm ? layout.template state<T>(K, H) : NewTensor();
  std::vector<NewTensor> dweights(K * each);
  Buffer<T> dx_rows;
  if (dx && !layout.rows_are_the_tensor()) dx_rows = Buffer<T>(R * s0.I);

  std::vector<std::vector<BackwardCall<T>>> calls(L);
  for (size_t l = lowest; l < L; l++) {
    const SavedLayer<T>& layer = saved.layers[l];
    for (size_t d = 0; d < D; d++) {
      const size_t n = l * D + d;
      const SavedDirection<T>& own = layer.directions[d];
      const Sizes& s = own.sizes;
      const Sizes& w = weights.sizes[n];
      if (w.cell != s.cell || w.I != s.I || w.H != s.H || w.P != s.P) throw std::invalid_argument("saved is of a call with other weights or options");
      Options<T> o = options.size() ? network_options<T>(options[n], s, weights.of[n]) : Options<T>();
      o.cut = own.cut.data();
      if (form_of(weights.of[n], o) != own.form) throw std::invalid_argument("saved is of a call with other weights or options");
      std::array<T*, NetworkWeights<T>::kFields> g{};
      for (size_t i = 0; i < each; i++) {
        NewTensor& gradient = dweights[n * each + i] = weights.gradient(n, weights.fields[i]);
        g[weights.fields[i]] = gradient.template data<T>();
      }
      for (const int bias : {2, 3})
        if (!g[bias]) g[bias] = scratch.emplace_back(weights.bias_size(n)).data();
      const long ldy = static_cast<long>(D) * P;
      BackwardCall<T> call{s, o, nullptr, nullptr, own.h0.data(), own.c0.data(), weights.of[n], nullptr, ldy, own.kept(), true, nullptr, width,
                           rows_of_state(dhn, n, P), rows_of_state(dcn, n, H), nullptr, dh0 ? dh0.data<T>() + n * B * P : nullptr,
                           dc0 ? dc0.data<T>() + n * B * H : nullptr,
                           {g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10]}};
      call.y = (l + 1 == L ? y_top : layer.y) + d * P;
      call.x = l ? layer.x : x0;
      call.tokens = l ? nullptr : tokens;
      calls[l].push_back(call);
    }
  }
  saved.used_up = true;
  {
    const GilReleased release;
    Buffer<T> passed_down;  // what `upstream` points to below the top
    for (size_t l = L; l-- > lowest;) {
      SavedLayer<T>& layer = saved.layers[l];
      const long I = layer.directions[0].sizes.I;
      Buffer<T> below, of_reverse;
      T* to = nullptr;
      if (l > lowest) below = Buffer<T>(R * I), to = below.data();
      else if (l == 0 && dx) to = dx_rows ? dx_rows.data() : dx.data<T>();
      if (to && D == 2) of_reverse = Buffer<T>(R * I);
      for (size_t d = 0; d < D; d++) {
        BackwardCall<T>& call = calls[l][d];
        call.dy = upstream ? upstream + (saved.sums ? 0 : d * P) : nullptr;
        call.dx = to ? (d ? of_reverse.data() : to) : nullptr;
      }
      k.backward(calls[l].data(), static_cast<int>(D), team_size());
      if (of_reverse) k.add(to, of_reverse.data(), R * I, team_size());
      if (l > lowest && masks[l - 1]) multiply(to, masks[l - 1], to, R * I);
      layer = {};
      passed_down = std::move(below);
      upstream = passed_down.data();
    }
    if (dx_rows) layout.from_rows(dx_rows.data(), s0.I, dx.data<T>());
    for (size_t n = 0; n < K && dh0; n++) {
      layout.state_from_rows(dh0.data<T>() + n * B * P, P);
      if (dc0) layout.state_from_rows(dc0.data<T>() + n * B * H, H);
    }
  }
  nb::list found;
  found.append(std::move(dx).capsule());
  found.append(std::move(dh0).capsule());
  found.append(std::move(dc0).capsule());
  for (size_t i = 0; i < dweights.size(); i++) found.append(needs(3 + i) ? std::move(dweights[i]).capsule() : nb::none());
  return found;
}

}  // namespace backtime
