// Layers and output product with packed weights, for inference one step at a time.
#pragma once
#include <algorithm>

#include "weights.hpp"

namespace backtime {

template <class T> class Stack {
 public:
  Stack(const std::string& cell, nb::tuple options, std::vector<nb::tuple> layers, Maybe<In<T>> Wy, Maybe<In<T>> by)
      : kernels_(kernels<T>()) {
    for (const nb::tuple& layer : layers) {
      const Weights<T> w(layer);
      const Sizes s = w.sizes(cell, {1, 1});
      if (!sizes_.empty() && s.I != sizes_.back().P) throw std::invalid_argument("a layer's I must be the width of the layer below");
      weights_.push_back(w.checked(s, arrays_));
      panels_.emplace_back(kernels_.lengths(s, weights_.back()).panels);
      kernels_.pack(s, weights_.back(), panels_.back().data());
      sizes_.push_back(s);
    }
    if (sizes_.empty()) throw std::invalid_argument("layers is empty; expected at least one");
    for (size_t l = 0; l < sizes_.size(); l++) options_ = options_of<T>(options, sizes_[l], weights_[l], arrays_);
    if (options_.keep_h_rows || options_.keep_c_rows || options_.h_mask || options_.cut)
      throw std::invalid_argument("options of a stack are numbers, not arrays");
    if (Wy.has_value() != by.has_value()) throw std::invalid_argument("Wy and by come together");
    H_ = sizes_.back().P, V_ = by ? static_cast<long>(by->size()) : H_;
    if (V_ < 1) throw std::invalid_argument("by is empty; expected at least one output");
    if (!by) return;
    output_ = Buffer<T>(kernels_.linear_length(V_, H_));
    kernels_.linear_pack(V_, H_, of_size(Wy, V_ * H_, "Wy"), of_size(by, V_, "by"), output_.data());
  }

  // state: for each layer (B, H) of h, then, for the lstm, of c; both are replaced by the state after the step.
  void step(Maybe<In<T>> x, Maybe<Tokens> tokens, std::vector<Out<T>> state, Out<T> logits) {
    const size_t each = parts_of_state();
    if (state.size() != sizes_.size() * each) throw std::invalid_argument("state has the wrong number of arrays");
    if (x.has_value() == tokens.has_value()) throw std::invalid_argument("exactly one of x and tokens is needed");
    const long B = static_cast<long>(tokens ? tokens->size() : x->size() / sizes_[0].I);
    if (B < 1) throw std::invalid_argument("the batch is empty");
    CallArrays arrays;
    std::vector<T*> parts;
    for (size_t l = 0; l < sizes_.size(); l++)
      for (size_t i = 0; i < each; i++) parts.push_back(arrays(state[l * each + i], B * (i ? sizes_[l].H : sizes_[l].P), "state"));
    const T* below = arrays(x, B * sizes_[0].I, "x");
    const int64_t *ids = tokens ? tokens_below(*tokens, B, sizes_[0].I, "x"), arrays(tokens, B, "x") : nullptr;
    T* z = arrays(logits, B * V_, "logits");
    arrays.refuse_overlaps();
    const GilReleased release;
    advance(B, below, ids, parts.data(), z);
  }

  // One step of all layers; `state` as in step. Without an output product z receives h of the last layer. z may hold the input:
  // a stream may be fed its own output.
  void advance(long B, const T* below, const int64_t* ids, T* const* state, T* z) const {
    const size_t each = parts_of_state();
    const bool fed_back = ids ? overlap(ids, B, z, B * V_) : overlap(below, B * sizes_[0].I, z, B * V_);
    for (size_t l = 0; l < sizes_.size(); l++, ids = nullptr, state += each) {
      Sizes s = sizes_[l];
      s.steps.B = B;
      const bool into_z = !output_ && l + 1 == sizes_.size() && (l || !fed_back);
      const Buffer<T> y(into_z ? 0 : B * s.P);
      T* c = each == 2 ? state[1] : nullptr;
      const ForwardCall<T> call{s,           options_,          ids ? nullptr : below, ids, state[0], c,
                                weights_[l], panels_[l].data(), into_z ? z : y.data(), s.P, state[0], c,
                                {}};
      kernels_.forward(&call, 1, team_size());
      below = state[0];
    }
    if (output_) kernels_.linear({B, H_, V_, below, output_.data(), z, team_size()});
    else if (fed_back) std::copy(below, below + B * H_, z);
  }
  size_t parts_of_state() const { return sizes_[0].cell == CellKind::lstm ? 2 : 1; }
  const std::vector<Sizes>& sizes() const { return sizes_; }
  long outputs() const { return V_; }

 private:
  const Kernels<T>& kernels_;
  Options<T> options_;
  std::vector<Sizes> sizes_;
  CallArrays arrays_;  // what weights_ points to
  std::vector<LayerWeights<T>> weights_;
  std::vector<Buffer<T>> panels_;
  Buffer<T> output_;
  long H_, V_;
};

// A place in B sequences: the state is its own, and so is the output, which the next step overwrites. Nothing is allocated
// or looked up in a step, and the Python lock is given up only where the work is worth it.
template <class T> class Stream {
 public:
  Stream(const Stack<T>& stack, long B) : stack_(stack), B_(B) {
    long work = 0, most = stack.outputs();
    for (const Sizes& s : stack.sizes()) most = std::max({most, s.P, gates_of(s.cell) * s.H * (s.I + s.P)});
    if (B < 1 || B > kMostElements / most)
      throw std::invalid_argument("B is " + std::to_string(B) + "; expected at least 1, and less than memory");

    for (const Sizes& s : stack.sizes()) {
      for (size_t i = 0; i < stack.parts_of_state(); i++) parts_.emplace_back(array(i ? s.H : s.P));
      work += B * gates_of(s.cell) * s.H * (s.I + s.P);
    }
    for (const auto& part : parts_) state_.push_back(part.data()), state_arrays_.append(nb::cast(part));
    output_ = array(stack.outputs());
    releases_ = work + B * stack.outputs() * stack.sizes().back().P > 2000000;  // some 20 us
    result_ = nb::cast(output_);
  }
  nb::object step(In<T> x) { return advance(of_size(x, B_ * stack_.sizes()[0].I, "x"), nullptr); }
  nb::object step_tokens(Tokens tokens) { return advance(nullptr, tokens_below(tokens, B_, stack_.sizes()[0].I, "x")); }
  nb::object step_token(int64_t token) {
    const long I = stack_.sizes()[0].I;
    if (token < 0 || token >= I || B_ != 1)
      throw std::invalid_argument("x is " + std::to_string(token) + "; expected 0 to " + std::to_string(I - 1) + ", and one sequence");
    return advance(nullptr, &token);
  }
  nb::list state() const { return state_arrays_; }

 private:
  nb::ndarray<nb::numpy, T> array(long width) const {
    auto* buffer = new Buffer<T>(B_ * width);
    nb::capsule owner(buffer, [](void* p) noexcept { delete static_cast<Buffer<T>*>(p); });
    std::fill(buffer->data(), buffer->data() + B_ * width, T(0));
    const size_t shape[] = {static_cast<size_t>(B_), static_cast<size_t>(width)};
    return {buffer->data(), 2, shape, owner};
  }
  nb::object advance(const T* x, const int64_t* ids) {
    if (releases_) {
      const GilReleased release;
      stack_.advance(B_, x, ids, state_.data(), output_.data());
    } else {
      stack_.advance(B_, x, ids, state_.data(), output_.data());
    }
    return result_;
  }
  const Stack<T>& stack_;
  const long B_;
  bool releases_;
  std::vector<nb::ndarray<nb::numpy, T>> parts_;
  std::vector<T*> state_;
  nb::ndarray<nb::numpy, T> output_;
  nb::list state_arrays_;  // parts_ and output_ for Python
  nb::object result_;
};

}  // namespace backtime
