// Layers and output product with packed weights, for inference one step at a time.
#pragma once
#include "layer.hpp"

namespace backtime {

template <class T> class Stack {
 public:
  Stack(const std::string& cell, nb::tuple options, std::vector<nb::tuple> layers, In<T> Wy, In<T> by)
      : kernels_(kernels<T>()) {
    for (const nb::tuple& layer : layers) {
      arrays_.emplace_back(layer);
      const Sizes s = arrays_.back().sizes(cell, {1, 1});
      if (!sizes_.empty() && s.I != sizes_.back().P) throw std::invalid_argument("a layer's I must be the width of the layer below");
      weights_.push_back(arrays_.back().checked(s));
      panels_.emplace_back(kernels_.lengths(s, weights_.back()).panels);
      kernels_.pack(s, weights_.back(), panels_.back().data());
      sizes_.push_back(s);
    }
    if (sizes_.empty()) throw std::invalid_argument("layers is empty; expected at least one");
    options_ = OptionArrays<T>(options, sizes_[0]).options;
    if (options_.keep_h_rows || options_.keep_c_rows || options_.h_mask || options_.cut)
      throw std::invalid_argument("options of a stack are numbers, not arrays");
    H_ = sizes_.back().P, V_ = static_cast<long>(by.size());
    output_ = Buffer<T>(kernels_.linear_length(V_, H_));
    kernels_.linear_pack(V_, H_, of_size(Wy, V_ * H_, "Wy"), by.data(), output_.data());
  }

  // state: for each layer (B, H) of h, then, for the lstm, of c; both are replaced by the state after the step.
  void step(Maybe<In<T>> x, Maybe<Tokens> tokens, std::vector<Out<T>> state, Out<T> logits) {
    const bool lstm = sizes_[0].cell == CellKind::lstm;
    const size_t each = lstm ? 2 : 1;
    if (state.size() != sizes_.size() * each) throw std::invalid_argument("state has the wrong number of arrays");
    if (x.has_value() == tokens.has_value()) throw std::invalid_argument("exactly one of x and tokens is needed");
    const long B = static_cast<long>(tokens ? tokens->size() : x->size() / sizes_[0].I);
    if (B < 1) throw std::invalid_argument("the batch is empty");
    for (size_t l = 0; l < sizes_.size(); l++)
      for (size_t i = 0; i < each; i++) of_size(state[l * each + i], B * (i ? sizes_[l].H : sizes_[l].P), "state");
    const T* below = of_size(x, B * sizes_[0].I, "x");
    const int64_t* ids = tokens ? tokens_below(*tokens, B, sizes_[0].I, "x") : nullptr;
    T* z = of_size(logits, B * V_, "logits");
    const GilReleased release;
    for (size_t l = 0; l < sizes_.size(); l++, ids = nullptr) {
      Sizes s = sizes_[l];
      s.steps.B = B;
      const Buffer<T> y(B * s.P);
      T *h = state[l * each].data(), *c = lstm ? state[l * each + 1].data() : nullptr;
      const ForwardCall<T> call{s, options_, ids ? nullptr : below, ids, h, c, weights_[l], panels_[l].data(), y.data(), s.P, h, c, {}};
      kernels_.forward(&call, 1, team_size());
      below = h;
    }
    kernels_.linear({B, H_, V_, below, output_.data(), z, team_size()});
  }

 private:
  const Kernels<T>& kernels_;
  Options<T> options_;
  std::vector<Sizes> sizes_;
  std::vector<Weights<T>> arrays_;  // keeps what weights_ points to
  std::vector<LayerWeights<T>> weights_;
  std::vector<Buffer<T>> panels_;
  Buffer<T> output_;
  long H_, V_;
};

}  // namespace backtime
