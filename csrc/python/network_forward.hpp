// Forward through all layers.
#pragma once
#include "network.hpp"

namespace backtime {

template <class T> class NetworkForward {
 public:
  // directions: 1 forward, 2 reverse, 3 both; sums: both are added, not beside each other.
  NetworkForward(const NetworkWeights<T>& weights, int directions, bool sums, Layout&& layout, size_t D)
      : weights_(weights), saved_(std::move(layout)), layout_(saved_.layout), reverse_only_(directions == 2), D_(D), K_(weights.of.size()),
        layers_(K_ / D), R_(layout_.rows()), P_(weights.sizes[0].P), H_(weights.sizes[0].H), width_(sums ? P_ : static_cast<long>(D) * P_) {
    if (R_ == 0) throw std::invalid_argument("there is no row to compute");
    if (sums && D == 1) throw std::invalid_argument("one direction has nothing to be added to");
    saved_.sums = sums;
    for (size_t k = 0; k < K_; k++) {
      const Sizes& s = weights.sizes[k];
      long size;
      if (s.P != P_ || s.H != H_ || s.I != (k < D ? weights.sizes[0].I : width_))
        throw std::invalid_argument("the weights of the layers do not fit one another");
      if (__builtin_mul_overflow(R_, 8 * (s.I + s.H + s.P), &size) || size > kMostElements)
        throw std::invalid_argument("x is larger than any array");
    }
  }

  void read_input(const Tensor& x) {
    const long I = weights_.sizes[0].I;
    if (x.holds_integers()) tokens_ = columns_of(x, layout_, I, saved_.tokens);
    else input_ = rows_of(x, layout_, I, first_input_);
  }
  void make_results() {
    if (!layout_.one_step()) y_ = layout_.tensor<T>(width_);
    hn_ = layout_.state<T>(K_, P_);
    if (lstm()) cn_ = layout_.state<T>(K_, H_);
    into_y_ = y_ && layout_.rows_are_the_tensor() && !saved_.sums;
  }
  void prepare(const Tensor& h0, const Tensor& c0, const Tensor& reset, const nb::tuple& options, const nb::tuple& masks, bool save) {
    if (c0 && (!lstm() || !h0)) throw std::invalid_argument("c0 belongs to the lstm, beside h0");
    if (options.size() && options.size() != K_) throw std::invalid_argument("options must be one of each layer and direction");
    masks_ = masks_of<T>(masks, layers_, R_ * width_);
    keeps_ = save;
    calls_.resize(layers_);
    for (size_t l = 0; l < layers_; l++) {
      SavedLayer<T>& layer = saved_.layers.emplace_back();
      layer.directions.resize(D_);
      layer.x = l ? nullptr : first_input_.data();
      outputs_.push_back(make_output(l, layer));
      for (size_t d = 0; d < D_; d++) prepare_direction(l, d, h0, c0, reset, options);
    }
  }

  void run() {
    for (size_t l = 0; l < layers_; l++) {
      for (ForwardCall<T>& call : calls_[l]) call.x = input_, call.tokens = l ? nullptr : tokens_;
      kernels_.forward(calls_[l].data(), static_cast<int>(D_), team_size());
      if (!keeps_) saved_.layers[l].input = {};
      l + 1 < layers_ ? hand_up(l) : finish_y();
    }
    for (size_t k = 0; k < K_; k++) {
      layout_.state_from_rows(hn_.data<T>() + k * layout_.B * P_, P_);
      if (lstm()) layout_.state_from_rows(cn_.data<T>() + k * layout_.B * H_, H_);
    }
    nan_ = holds_nan();
  }
  nb::object results() && {
    if (first_input_) saved_.layers[0].input = std::move(first_input_);
    nb::object saved = keeps_ ? nb::cast(std::move(saved_)) : nb::none();
    return nb::make_tuple(std::move(y_).capsule(), std::move(hn_).capsule(), std::move(cn_).capsule(), saved, nan_);
  }

 private:
  const Kernels<T>& kernels_ = kernels<T>();
  const NetworkWeights<T>& weights_;
  SavedNetwork<T> saved_;
  const Layout& layout_;
  const bool reverse_only_;
  const size_t D_, K_, layers_;
  const long R_, P_, H_, width_;  // width_: of the output of a layer
  std::vector<const T*> masks_;
  std::vector<std::vector<ForwardCall<T>>> calls_;  // of each layer, its directions
  NewTensor y_, hn_, cn_;
  bool into_y_ = false;  // the kernels of the last layer write into y itself
  bool keeps_ = false;
  bool nan_ = false;
  std::vector<T*> outputs_;  // of each layer, (R, D P)
  Buffer<T> first_input_, in_turn_[2];
  const T* input_ = nullptr;  // of the layer at hand
  const int64_t* tokens_ = nullptr;

  bool lstm() const { return weights_.sizes[0].cell == CellKind::lstm; }
  // A NaN of the input stays in the state of its sequence up to the end, where (D, B, P) numbers of the first layer show it:
  // few beside what was computed. Only what is cut off before the end is not seen there.
  bool holds_nan() const {
    const T* h = hn_.data<T>();
    bool found = false;
    for (long i = 0; i < static_cast<long>(D_) * layout_.B * P_; i++) found |= h[i] != h[i];
    return found;
  }

  // Where the kernels of a layer write: into y, into what is kept, or, where nothing is, into one of two buffers in turn.
  T* make_output(size_t l, SavedLayer<T>& layer) {
    if (l + 1 == layers_ && into_y_) return y_.data<T>();
    Buffer<T>& rows = keeps_ ? layer.output : in_turn_[l % 2];
    if (!rows) rows = Buffer<T>(R_ * D_ * P_);
    if (keeps_) layer.y = rows.data();
    return rows.data();
  }

  // The first state of one direction, (B, width) in the order of the rows.
  void start(Buffer<T>& rows, const Tensor& state, size_t k, long width) const {
    rows = Buffer<T>(layout_.B * width);
    if (state) layout_.state_into_rows<T>(state, K_, k, width, rows.data());
    else std::fill_n(rows.data(), layout_.B * width, T(0));
  }
  void prepare_direction(size_t l, size_t d, const Tensor& h0, const Tensor& c0, const Tensor& reset, const nb::tuple& options) {
    const size_t k = l * D_ + d;
    const bool reverse = reverse_only_ || d == 1;
    SavedDirection<T>& direction = saved_.layers[l].directions[d];
    direction.sizes = weights_.sizes[k];
    direction.sizes.steps = layout_.steps(reverse);
    const Sizes& s = direction.sizes;
    Options<T> o = options.size() ? network_options<T>(options[k], s, weights_.of[k]) : Options<T>();
    if (reset) {
      direction.cut = Buffer<uint8_t>(R_);
      layout_.cuts(reset, reverse, direction.cut.data());
      o.cut = direction.cut.data();
    }
    direction.form = form_of(weights_.of[k], o);
    start(direction.h0, h0, k, P_);
    if (lstm()) start(direction.c0, c0, k, H_);
    if (keeps_) {
      const Lengths lengths = kernels_.lengths(s, weights_.of[k]);
      direction.gates = Buffer<T>(lengths.gates), direction.cells = Buffer<T>(lengths.cells);
      direction.inner = Buffer<T>(lengths.inner), direction.norm = Buffer<T>(lengths.norm);
    }
    calls_[l].push_back({s, o, nullptr, nullptr, direction.h0.data(), direction.c0.data(), weights_.of[k], nullptr, outputs_[l] + d * P_,
                         static_cast<long>(D_) * P_, hn_.data<T>() + k * layout_.B * P_,
                         lstm() ? cn_.data<T>() + k * layout_.B * H_ : nullptr, direction.kept()});
  }
  // The output of a layer becomes the input of the one above: added, where both directions are, and masked.
  void hand_up(size_t l) {
    SavedLayer<T>& above = saved_.layers[l + 1];
    input_ = outputs_[l];
    if (saved_.sums || masks_[l]) above.input = Buffer<T>(R_ * width_);
    if (saved_.sums) add_halves(input_, above.input.data(), R_, P_), input_ = above.input.data();
    if (masks_[l]) multiply(input_, masks_[l], above.input.data(), R_ * width_), input_ = above.input.data();
    above.x = input_;
  }
  // y from the output of the last layer, where the kernels have not written it.
  void finish_y() {
    if (!y_ || into_y_) return;
    const T* rows = outputs_.back();
    const bool padded = !layout_.rows_are_the_tensor();
    const Buffer<T> added(padded && saved_.sums ? R_ * P_ : 0);
    if (saved_.sums) {
      T* to = padded ? added.data() : y_.data<T>();
      add_halves(rows, to, R_, P_);
      rows = to;
    }
    if (padded) layout_.from_rows(rows, width_, y_.data<T>());
  }
};

// form: the directions (1 forward, 2 reverse, 3 both), whether they are added, and batch_first and one_step as Layout has
// them. Returns (y, h_n, c_n, saved, nan): y shaped as x is, None for one step, whose output is h_n; c_n of the lstm, saved
// where asked for, else None; whether the first layer ends in a NaN.
template <class T>
nb::object forward_network(const std::string& cell, long fields, std::tuple<int, bool, bool, bool> form, nb::handle x_,
                           const nb::list& given, nb::handle h0_, nb::handle c0_, nb::handle sequences, nb::handle reset_,
                           const nb::tuple& options, const nb::tuple& masks, bool save) {
  const auto [directions, sums, batch_first, one_step] = form;
  if (directions < 1 || directions > 3) throw std::invalid_argument("directions is " + std::to_string(directions) + "; expected 1 to 3");
  const size_t D = directions == 3 ? 2 : 1;
  const NetworkWeights<T> weights(cell, fields, given, D);
  const Tensor x(x_, "x"), h0 = Tensor::optional(h0_, "h0"), c0 = Tensor::optional(c0_, "c0"), reset = Tensor::optional(reset_, "reset");
  NetworkForward<T> pass(weights, directions, sums, Layout(x, batch_first, one_step, sequences), D);
  pass.read_input(x);
  pass.make_results();
  pass.prepare(h0, c0, reset, options, masks, save);
  {
    const GilReleased release;
    pass.run();
  }
  return std::move(pass).results();
}

}  // namespace backtime
