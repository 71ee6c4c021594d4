// The only file that knows Python: checks sizes, borrows arrays, releases the GIL, calls the kernels.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "calls.hpp"
#include "gil.hpp"
#include "pool.hpp"
#include "team.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace backtime {
namespace {

template <class T> using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T> using Out = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
template <class A> using Maybe = std::optional<A>;
using Tokens = In<int64_t>;

constexpr long kMostElements = 1L << 56;  // sizes in bytes, with what a kernel adds to them, stay far below 2^63

// The pointer of an array after its size is checked.
template <class A> auto* of_size(const A& array, long size, const char* name) {
  if (static_cast<long>(array.size()) != size)
    throw std::invalid_argument(std::string(name) + " has " + std::to_string(array.size()) + " elements; expected " + std::to_string(size));
  if (reinterpret_cast<uintptr_t>(array.data()) % sizeof(*array.data())) throw std::invalid_argument(std::string(name) + " is not aligned");
  return array.data();
}
template <class A> auto of_size(const Maybe<A>& array, long size, const char* name) -> decltype(array->data()) {
  return array ? of_size(*array, size, name) : nullptr;
}
const int64_t* tokens_below(const Tokens& tokens, long rows, long limit, const char* name) {
  const int64_t* t = of_size(tokens, rows, name);
  for (long r = 0; r < rows; r++)
    if (t[r] < 0 || t[r] >= limit)
      throw std::invalid_argument(std::string(name) + " holds " + std::to_string(t[r]) + "; expected 0 to " + std::to_string(limit - 1));
  return t;
}

CellKind cell_kind(const std::string& name) {
  if (name == "rnn") return CellKind::rnn;
  if (name == "gru") return CellKind::gru;
  if (name == "lstm") return CellKind::lstm;
  throw std::invalid_argument("cell is '" + name + "'; expected rnn, gru or lstm");
}
Activation activation(const std::string& name) {
  if (name == "tanh") return Activation::tanh;
  if (name == "relu") return Activation::relu;
  if (name == "sigmoid") return Activation::sigmoid;
  if (name == "identity") return Activation::identity;
  throw std::invalid_argument("activation is '" + name + "'; expected tanh, relu, sigmoid or identity");
}
long gates_of(CellKind cell) { return cell == CellKind::lstm ? 4 : cell == CellKind::gru ? 3 : 1; }

template <class T> struct Weights {  // the NamedTuple of reference/weights.py, borrowed
  In<T> Wx, Wh, bx, bh;
  explicit Weights(nb::tuple w) : Wx(part(w, 0, "Wx")), Wh(part(w, 1, "Wh")), bx(part(w, 2, "bx")), bh(part(w, 3, "bh")) {}
  static In<T> part(nb::tuple w, size_t n, const char* name) {
    In<T> array;
    if (w.size() != 4) throw nb::type_error("weights must be (Wx, Wh, bx, bh)");
    if (!nb::try_cast(w[n], array)) throw nb::type_error((std::string(name) + " is no array of the type of the call").c_str());
    return array;
  }
  LayerWeights<T> checked(const Sizes& s) const {
    const long rows = gates_of(s.cell) * s.H;
    return {of_size(Wx, rows * s.I, "Wx"), of_size(Wh, rows * s.H, "Wh"), of_size(bx, rows, "bx"), of_size(bh, rows, "bh")};
  }
};

template <class T> struct Saved {  // what forward keeps for backward; its buffers go back to the pool with it
  Sizes sizes;
  Buffer<T> gates, cells;
};

template <class T> Sizes sizes_of(const std::string& cell, const std::string& f, const Weights<T>& w, nb::handle shape) {
  std::pair<long, long> dims;
  if (!nb::try_cast(shape, dims)) throw nb::type_error("shape must be (T, B)");
  if (w.Wx.ndim() != 2 || w.Wh.ndim() != 2) throw std::invalid_argument("Wx and Wh must have two dimensions");
  if (dims.first < 1 || dims.second < 1 || w.Wx.shape(1) < 1 || w.Wh.shape(1) < 1)
    throw std::invalid_argument("T, B, I and H must be at least 1");
  long size;
  if (__builtin_mul_overflow(dims.first, dims.second, &size) ||
      __builtin_mul_overflow(size, static_cast<long>(std::max(w.Wx.size(), w.Wh.size())), &size) || size > kMostElements)
    throw std::invalid_argument("T and B are larger than any array");
  return {cell_kind(cell), activation(f), dims.first, dims.second, static_cast<long>(w.Wx.shape(1)), static_cast<long>(w.Wh.shape(1))};
}

template <class T>
nb::object forward(const std::string& cell, const std::string& f, nb::tuple shape, Maybe<In<T>> x, Maybe<Tokens> tokens, In<T> h0,
                   Maybe<In<T>> c0, nb::tuple weights, Out<T> y, Out<T> hn, Maybe<Out<T>> cn, bool save) {
  const Weights<T> w(weights);
  const Sizes s = sizes_of(cell, f, w, shape);
  const long R = s.rows(), state = s.B * s.H;
  const bool lstm = s.cell == CellKind::lstm;
  if (x.has_value() == tokens.has_value()) throw std::invalid_argument("exactly one of x and tokens is needed");
  if (lstm != c0.has_value() || lstm != cn.has_value()) throw std::invalid_argument("c0 and cn belong to the lstm, and to it alone");
  const Kernels<T>& k = kernels<T>();
  const Lengths lengths = k.lengths(s);
  Saved<T> saved{s, Buffer<T>(save ? lengths.gates : 0), Buffer<T>(save ? lengths.cells : 0)};
  const ForwardCall<T> call{s, of_size(x, R * s.I, "x"), tokens ? tokens_below(*tokens, R, s.I, "x") : nullptr, of_size(h0, state, "h0"),
                            of_size(c0, state, "c0"), w.checked(s), nullptr, of_size(y, R * s.H, "y"), of_size(hn, state, "hn"),
                            of_size(cn, state, "cn"), saved.gates.data(), saved.cells.data(), team_size()};
  {
    const GilReleased release;
    k.forward(call);
  }
  return save ? nb::cast(std::move(saved)) : nb::none();
}

template <class T>
void backward(const Saved<T>& saved, Maybe<In<T>> x, Maybe<Tokens> tokens, In<T> h0, Maybe<In<T>> c0, nb::tuple weights, In<T> y,
              Maybe<In<T>> dy, Maybe<In<T>> dhn, Maybe<In<T>> dcn, Maybe<Out<T>> dx, Maybe<Out<T>> dh0, Maybe<Out<T>> dc0, Out<T> dWx,
              Out<T> dWh, Out<T> dbx, Out<T> dbh) {
  const Weights<T> w(weights);
  const Sizes& s = saved.sizes;
  const long R = s.rows(), state = s.B * s.H, G = gates_of(s.cell);
  const bool lstm = s.cell == CellKind::lstm;
  if (x.has_value() == tokens.has_value()) throw std::invalid_argument("exactly one of x and tokens is needed");
  if (tokens && dx) throw std::invalid_argument("integer input has no gradient dx");
  if (lstm != c0.has_value() || (lstm && dh0) != dc0.has_value()) throw std::invalid_argument("c0 and dc0 belong to the lstm, and to it alone");
  const BackwardCall<T> call{s, of_size(x, R * s.I, "x"), tokens ? tokens_below(*tokens, R, s.I, "x") : nullptr,
                             of_size(h0, state, "h0"), of_size(c0, state, "c0"), w.checked(s), of_size(y, R * s.H, "y"),
                             saved.gates.data(), saved.cells.data(), of_size(dy, R * s.H, "dy"), of_size(dhn, state, "dhn"),
                             of_size(dcn, state, "dcn"), of_size(dx, R * s.I, "dx"), of_size(dh0, state, "dh0"),
                             of_size(dc0, state, "dc0"), of_size(dWx, G * s.H * s.I, "dWx"), of_size(dWh, G * s.H * s.H, "dWh"),
                             of_size(dbx, G * s.H, "dbx"), of_size(dbh, G * s.H, "dbh"), team_size()};
  const GilReleased release;
  kernels<T>().backward(call);
}

template <class T>
void softmax_cross_entropy(In<T> h, In<T> Wy, In<T> by, Tokens targets, Maybe<In<T>> row_weights, Out<T> losses, Maybe<Out<T>> dh,
                           Maybe<Out<T>> dWy, Maybe<Out<T>> dby) {
  if (h.ndim() != 2 || Wy.ndim() != 2 || h.shape(1) != Wy.shape(1)) throw std::invalid_argument("h must be (R, H) and Wy (V, H)");
  const long R = h.shape(0), H = h.shape(1), V = Wy.shape(0);
  if (H < 1 || V < 1) throw std::invalid_argument("H and V must be at least 1");
  if (dh.has_value() != dWy.has_value() || dh.has_value() != dby.has_value() || (dh && !row_weights))
    throw std::invalid_argument("dh, dWy, dby and row_weights come together");
  const HeadCall<T> call{R, H, V, h.data(), Wy.data(), of_size(by, V, "by"), tokens_below(targets, R, V, "targets"),
                         of_size(row_weights, R, "row_weights"), of_size(losses, R, "losses"), of_size(dh, R * H, "dh"),
                         of_size(dWy, V * H, "dWy"), of_size(dby, V, "dby"), team_size()};
  const GilReleased release;
  if (R) kernels<T>().softmax_cross_entropy(call);
}

// Layers and output product with packed weights, for inference one step at a time.
template <class T> class Stack {
 public:
  Stack(const std::string& cell, const std::string& f, std::vector<nb::tuple> layers, In<T> Wy, In<T> by)
      : kernels_(kernels<T>()) {
    for (const nb::tuple& layer : layers) {
      const Weights<T> w(layer);
      Sizes s = sizes_of(cell, f, w, nb::make_tuple(1, 1));
      if (!sizes_.empty() && s.I != sizes_.back().H) throw std::invalid_argument("a layer's I must be the H of the layer below");
      panels_.emplace_back(kernels_.lengths(s).panels);
      kernels_.pack(s, w.checked(s), panels_.back().data());
      sizes_.push_back(s);
    }
    if (sizes_.empty()) throw std::invalid_argument("layers is empty; expected at least one");
    H_ = sizes_.back().H, V_ = static_cast<long>(by.size());
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
      for (size_t i = 0; i < each; i++) of_size(state[l * each + i], B * sizes_[l].H, "state");
    const T* below = of_size(x, B * sizes_[0].I, "x");
    const int64_t* ids = tokens ? tokens_below(*tokens, B, sizes_[0].I, "x") : nullptr;
    T* z = of_size(logits, B * V_, "logits");
    const GilReleased release;
    for (size_t l = 0; l < sizes_.size(); l++, ids = nullptr) {
      Sizes s = sizes_[l];
      s.B = B;
      Buffer<T> y(B * s.H);
      T *h = state[l * each].data(), *c = lstm ? state[l * each + 1].data() : nullptr;
      kernels_.forward({s, ids ? nullptr : below, ids, h, c, {}, panels_[l].data(), y.data(), h, c, nullptr, nullptr, team_size()});
      below = h;
    }
    kernels_.linear({B, H_, V_, below, output_.data(), z, team_size()});
  }

 private:
  const Kernels<T>& kernels_;
  std::vector<Sizes> sizes_;
  std::vector<Buffer<T>> panels_;
  Buffer<T> output_;
  long H_, V_;
};

// An array of undefined contents whose memory comes from the pool and goes back there with the array.
template <class T> nb::ndarray<nb::numpy, T> empty(std::vector<size_t> shape) {
  size_t size = 1;  // of the strides too, which a dimension of 0 leaves as they are
  for (size_t n : shape)
    if (__builtin_mul_overflow(size, std::max<size_t>(n, 1), &size) || size > kMostElements) throw std::bad_alloc();
  if (std::count(shape.begin(), shape.end(), 0)) size = 0;
  auto* buffer = new Buffer<T>(size);
  nb::capsule owner(buffer, [](void* p) noexcept { delete static_cast<Buffer<T>*>(p); });
  return {buffer->data(), shape.size(), shape.data(), owner};
}

template <class T> void elementwise(const std::string& function, In<T> x, Out<T> y) {
  const int which = function == "exp" ? 0 : function == "sigmoid" ? 1 : function == "tanh" ? 2 : -1;
  if (which < 0) throw std::invalid_argument("function is '" + function + "'; expected exp, sigmoid or tanh");
  kernels<T>().elementwise(which, x.data(), of_size(y, static_cast<long>(x.size()), "y"), static_cast<long>(x.size()));
}

// What is written to is taken as it is (noconvert): the results would be lost in a converted copy.
template <class T> void define(nb::module_& m, const char* saved, const char* stack, const char* empty_name) {
  m.def(empty_name, empty<T>, "shape"_a);
  nb::class_<Saved<T>>(m, saved);
  m.def("forward", forward<T>, "cell"_a, "activation"_a, "shape"_a, "x"_a.none(), "tokens"_a.none(), "h0"_a, "c0"_a.none(), "weights"_a,
        "y"_a.noconvert(), "hn"_a.noconvert(), "cn"_a.none().noconvert(), "save"_a);
  m.def("backward", backward<T>, "saved"_a, "x"_a.none(), "tokens"_a.none(), "h0"_a, "c0"_a.none(), "weights"_a, "y"_a, "dy"_a.none(),
        "dhn"_a.none(), "dcn"_a.none(), "dx"_a.none().noconvert(), "dh0"_a.none().noconvert(),
        "dc0"_a.none().noconvert(), "dWx"_a.noconvert(), "dWh"_a.noconvert(), "dbx"_a.noconvert(), "dbh"_a.noconvert());
  m.def("softmax_cross_entropy", softmax_cross_entropy<T>, "h"_a, "Wy"_a, "by"_a, "targets"_a, "row_weights"_a.none(),
        "losses"_a.noconvert(),
        "dh"_a.none().noconvert(), "dWy"_a.none().noconvert(), "dby"_a.none().noconvert());
  m.def("elementwise", elementwise<T>, "function"_a, "x"_a, "y"_a.noconvert());
  nb::class_<Stack<T>>(m, stack)
      .def(nb::init<const std::string&, const std::string&, std::vector<nb::tuple>, In<T>, In<T>>(), "cell"_a, "activation"_a, "layers"_a,
           "Wy"_a, "by"_a)
      .def("step", &Stack<T>::step, "x"_a.none(), "tokens"_a.none(), "state"_a.noconvert(), "logits"_a.noconvert());
}

}  // namespace
}  // namespace backtime

NB_MODULE(_engine, m) {
  using namespace backtime;
  nb::set_leak_warnings(false);  // what a daemon thread holds when the process ends is no leak
  m.doc() = "The compiled engine; backtime.kernels is its front.";
  define<float>(m, "Saved32", "Stack32", "empty32");
  define<double>(m, "Saved64", "Stack64", "empty64");
  m.def("isa", [] { return std::string(isa_name()); });
  m.def("get_threads", team_size);
  m.def("set_threads", set_team_size, "n"_a);
  m.def("trim", pool_trim, "Frees the buffers kept for the next call; returns how many bytes.");
}
