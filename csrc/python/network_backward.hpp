// Backward through all layers: from the last to the lowest whose gradients are needed.
#pragma once
#include "network.hpp"

namespace backtime {

template <class T> class NetworkBackward {
 public:
  // need: of x, h0, c0 and each weight.
  NetworkBackward(SavedNetwork<T>& saved, const NetworkWeights<T>& weights, const nb::tuple& need)
      : saved_(saved), layout_(saved.layout), weights_(weights), layers_(saved.layers.size()), D_(saved.layers[0].directions.size()),
        K_(layers_ * D_), fields_(weights.fields.size()), R_(layout_.rows()), I_(weights.sizes[0].I), P_(weights.sizes[0].P),
        H_(weights.sizes[0].H), width_(saved.sums ? P_ : static_cast<long>(D_) * P_) {
    if (weights.of.size() != K_) throw std::invalid_argument("weights are of another number of layers");
    if (need.size() != 3 + K_ * fields_) throw std::invalid_argument("need must be of x, h0, c0 and each weight");
    for (nb::handle one : need) need_.push_back(one.ptr() == Py_True);
    lowest_ = need_[0] || need_state() ? 0 : layers_;
    for (size_t i = 0; i < K_ * fields_; i++)
      if (need_[3 + i]) lowest_ = std::min(lowest_, i / fields_ / D_);
  }

  void read(const Tensor& x, const Tensor& y, const Tensor& dy) {
    if (need_[0] && x.holds_integers()) throw std::invalid_argument("integer input has no gradient dx");
    if (dy) upstream_ = rows_of(dy, layout_, width_, dy_copy_);
    x_ = saved_.layers[0].x;
    if (x.holds_integers()) tokens_ = saved_.tokens ? saved_.tokens.data() : columns_of(x, layout_, I_, tokens_copy_);
    else if (!x_) x_ = rows_of(x, layout_, I_, x_copy_);
    y_ = saved_.layers[layers_ - 1].y;
    if (y_) return;
    if (!y) throw std::invalid_argument("y is needed");
    y_ = rows_of(y, layout_, width_, y_copy_);
  }
  void make_results() {
    if (need_[0]) dx_ = layout_.tensor<T>(I_);
    if (dx_ && !layout_.rows_are_the_tensor()) dx_rows_ = Buffer<T>(R_ * I_);
    if (need_state()) dh0_ = layout_.state<T>(K_, P_);
    if (need_state() && lstm()) dc0_ = layout_.state<T>(K_, H_);
    dweights_.resize(K_ * fields_);
  }
  void prepare(const Tensor& dhn, const Tensor& dcn, const nb::tuple& options, const nb::tuple& masks) {
    if (dcn && !lstm()) throw std::invalid_argument("dcn belongs to the lstm");
    if (options.size() && options.size() != K_) throw std::invalid_argument("options must be one of each layer and direction");
    masks_ = masks_of<T>(masks, layers_, R_ * width_);
    calls_.resize(layers_);
    for (size_t l = lowest_; l < layers_; l++)
      for (size_t d = 0; d < D_; d++) prepare_direction(l, d, dhn, dcn, options);
  }

  void run() {
    for (size_t l = layers_; l-- > lowest_;) run_layer(l);
    if (dx_rows_) layout_.from_rows(dx_rows_.data(), I_, dx_.data<T>());
    for (size_t k = 0; k < K_ && dh0_; k++) {
      layout_.state_from_rows(dh0_.data<T>() + k * layout_.B * P_, P_);
      if (dc0_) layout_.state_from_rows(dc0_.data<T>() + k * layout_.B * H_, H_);
    }
  }
  nb::list results() && {
    nb::list all;
    for (NewTensor* part : {&dx_, &dh0_, &dc0_}) all.append(std::move(*part).capsule());
    for (size_t i = 0; i < dweights_.size(); i++) all.append(need_[3 + i] ? std::move(dweights_[i]).capsule() : nb::none());
    return all;
  }

 private:
  const Kernels<T>& kernels_ = kernels<T>();
  SavedNetwork<T>& saved_;
  const Layout& layout_;
  const NetworkWeights<T>& weights_;
  const size_t layers_, D_, K_, fields_;
  const long R_, I_, P_, H_, width_;  // width_: of the output of a layer
  std::vector<bool> need_;
  size_t lowest_;  // the layer below which nothing is needed
  Buffer<T> dy_copy_, x_copy_, y_copy_, dx_rows_, passed_down_;
  Buffer<int64_t> tokens_copy_;
  const T *upstream_ = nullptr, *x_ = nullptr, *y_ = nullptr;  // upstream_: dy of the layer at hand
  const int64_t* tokens_ = nullptr;
  std::vector<const T*> masks_;
  std::vector<std::vector<BackwardCall<T>>> calls_;  // of each layer, its directions
  std::vector<Buffer<T>> scratch_;
  NewTensor dx_, dh0_, dc0_;
  std::vector<NewTensor> dweights_;

  bool lstm() const { return weights_.sizes[0].cell == CellKind::lstm; }
  bool need_state() const { return need_[1] || need_[2]; }

  // The gradient of the last state of one direction, in the order of the rows; null for zeros.
  const T* end(const Tensor& state, size_t k, long width) {
    if (!state) return nullptr;
    T* rows = scratch_.emplace_back(layout_.B * width).data();
    layout_.state_into_rows<T>(state, K_, k, width, rows);
    return rows;
  }
  WeightGradients<T> gradients(size_t k) {
    std::array<T*, NetworkWeights<T>::kFields> g{};
    for (size_t i = 0; i < fields_; i++) {
      NewTensor& made = dweights_[k * fields_ + i] = weights_.gradient(k, weights_.fields[i]);
      g[weights_.fields[i]] = made.data<T>();
    }
    for (const int bias : {2, 3})  // the kernels have no layer without
      if (!g[bias]) g[bias] = scratch_.emplace_back(weights_.bias_size(k)).data();
    return {g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10]};
  }
  void prepare_direction(size_t l, size_t d, const Tensor& dhn, const Tensor& dcn, const nb::tuple& options) {
    const size_t k = l * D_ + d;
    const SavedLayer<T>& layer = saved_.layers[l];
    const SavedDirection<T>& direction = layer.directions[d];
    const Sizes &s = direction.sizes, &w = weights_.sizes[k];
    const bool same = w.cell == s.cell && w.I == s.I && w.H == s.H && w.P == s.P;
    Options<T> o = options.size() ? network_options<T>(options[k], s, weights_.of[k]) : Options<T>();
    o.cut = direction.cut.data();
    if (!same || form_of(weights_.of[k], o) != direction.form)
      throw std::invalid_argument("saved is of a call with other weights or options");
    const T* outputs = (l + 1 == layers_ ? y_ : layer.y) + d * P_;
    calls_[l].push_back({s, o, l ? layer.x : x_, l ? nullptr : tokens_, direction.h0.data(), direction.c0.data(), weights_.of[k], outputs,
                         static_cast<long>(D_) * P_, direction.kept(), true, nullptr, width_, end(dhn, k, P_), end(dcn, k, H_), nullptr,
                         dh0_ ? dh0_.data<T>() + k * layout_.B * P_ : nullptr, dc0_ ? dc0_.data<T>() + k * layout_.B * H_ : nullptr,
                         gradients(k)});
  }
  // One layer, whose input gradient is the upstream gradient of the one below; what it kept goes at once.
  void run_layer(size_t l) {
    const long I = saved_.layers[l].directions[0].sizes.I;
    Buffer<T> below(l > lowest_ ? R_ * I : 0);
    T* to = below ? below.data() : l || !dx_ ? nullptr : dx_rows_ ? dx_rows_.data() : dx_.data<T>();
    const Buffer<T> of_reverse(to && D_ == 2 ? R_ * I : 0);
    for (size_t d = 0; d < D_; d++) {
      BackwardCall<T>& call = calls_[l][d];
      call.dy = upstream_ ? upstream_ + (saved_.sums ? 0 : d * P_) : nullptr;
      call.dx = d ? of_reverse.data() : to;
    }
    kernels_.backward(calls_[l].data(), static_cast<int>(D_), team_size());
    if (of_reverse) kernels_.add(to, of_reverse.data(), R_ * I, team_size());
    if (below && masks_[l - 1]) multiply(to, masks_[l - 1], to, R_ * I);
    saved_.layers[l] = {};
    passed_down_ = std::move(below);
    upstream_ = passed_down_.data();
  }
};

// Gradients of x, h0, c0 and the weights, in this order, None for what is not needed. What was saved is used up. `need` is
// of the same order; x, y are as forward had and gave them, dy, dhn, dcn as these are, None for zeros.
template <class T>
nb::list backward_network(SavedNetwork<T>& saved, const std::string& cell, long fields, nb::handle x_, const nb::list& given, nb::handle y_,
                          nb::handle dy_, nb::handle dhn_, nb::handle dcn_, const nb::tuple& options, const nb::tuple& masks,
                          const nb::tuple& need) {
  if (saved.used_up) throw std::invalid_argument("saved was used up by a backward before");
  const NetworkWeights<T> weights(cell, fields, given, saved.layers[0].directions.size());
  const Tensor x(x_, "x"), y = Tensor::optional(y_, "y"), dy = Tensor::optional(dy_, "dy");
  const Tensor dhn = Tensor::optional(dhn_, "dhn"), dcn = Tensor::optional(dcn_, "dcn");
  NetworkBackward<T> pass(saved, weights, need);
  pass.read(x, y, dy);
  pass.make_results();
  pass.prepare(dhn, dcn, options, masks);
  saved.used_up = true;
  {
    const GilReleased release;
    pass.run();
  }
  return std::move(pass).results();
}

}  // namespace backtime
