// The module: Python's view of the engine. csrc/python/ and this file are the only ones that know Python.
#include "python/head.hpp"
#include "python/heap.hpp"
#include "python/layer.hpp"
#include "python/stack.hpp"
#include "threads/processors.hpp"

namespace backtime {

void define_network(nb::module_& m);  // network.cpp

namespace {

// An array of undefined contents whose memory comes from the pool and goes back there with the array.
template <class T> nb::ndarray<nb::numpy, T> empty(std::vector<size_t> shape) {
  if (shape.size() > 32) throw std::invalid_argument("shape has more dimensions than NumPy's arrays");
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
  const long n = static_cast<long>(x.size());
  kernels<T>().elementwise(which, of_size(x, n, "x"), of_size(y, n, "y"), n);
}

// What is written to is taken as it is (noconvert): the results would be lost in a converted copy.
template <class T> void define(nb::module_& m, const char* saved, const char* stack, const char* stream, const char* empty_name) {
  m.def(empty_name, empty<T>, "shape"_a);
  nb::class_<Saved<T>>(m, saved).def_prop_ro("state_shapes", &Saved<T>::state_shapes);
  m.def("forward", forward<T>, "cell"_a, "shape"_a, "batch_sizes"_a.none(), "x"_a.none(), "tokens"_a.none(), "directions"_a,
        "y"_a.noconvert(), "save"_a);
  m.def("backward", backward<T>, "x"_a.none(), "tokens"_a.none(), "y"_a.noconvert(), "dy"_a.none(), "directions"_a, "last_use"_a = false);
  m.def("softmax_cross_entropy", softmax_cross_entropy<T>, "h"_a, "Wy"_a, "by"_a, "targets"_a, "row_weights"_a.none(),
        "losses"_a.noconvert(), "dh"_a.none().noconvert(), "dWy"_a.none().noconvert(), "dby"_a.none().noconvert());
  m.def("elementwise", elementwise<T>, "function"_a, "x"_a, "y"_a.noconvert());
  nb::class_<Stack<T>>(m, stack)
      .def(nb::init<const std::string&, nb::tuple, std::vector<nb::tuple>, Maybe<In<T>>, Maybe<In<T>>>(), "cell"_a, "options"_a, "layers"_a,
           "Wy"_a.none(), "by"_a.none())
      .def("step", &Stack<T>::step, "x"_a.none(), "tokens"_a.none(), "state"_a.noconvert(), "logits"_a.noconvert());
  nb::class_<Stream<T>>(m, stream)
      .def(nb::init<const Stack<T>&, long>(), "stack"_a, "B"_a, nb::keep_alive<1, 2>())
      .def("step", &Stream<T>::step_token, "x"_a.noconvert())
      .def("step", &Stream<T>::step, "x"_a.noconvert())
      .def("step", &Stream<T>::step_tokens, "x"_a.noconvert())
      .def_prop_ro("state", &Stream<T>::state);
}

}  // namespace
}  // namespace backtime

NB_MODULE(_engine, m) {
  using namespace backtime;
  nb::set_leak_warnings(false);  // what a daemon thread holds when the process ends is no leak
  m.doc() = "The compiled engine; backtime.kernels is its front.";
  define<float>(m, "Saved32", "Stack32", "Stream32", "empty32");
  define<double>(m, "Saved64", "Stack64", "Stream64", "empty64");
  define_network(m);
  m.def("isa", [] { return std::string(isa_name()); });
  m.def(
      "fma_peak", [](int milliseconds) { return kernels<float>().fma_peak(milliseconds); }, "milliseconds"_a,
      nb::call_guard<nb::gil_scoped_release>(), "Flops a second of this thread in float32 multiply-adds on registers.");
  m.def("get_threads", team_size);
  m.def("set_threads", set_team_size, "n"_a);
  m.def("quota", quota, "groups"_a, "root"_a, "Processors that a container's quota leaves, or 0: for the tests.");
  m.def("team", team_name, "Whose threads run a region now: pytorch or own.");
  m.def("keep_freed_memory", keep_freed_memory, "Has the C library keep more of what is freed for the next step of a training loop.");
  m.def("trim", pool_trim, "Frees the buffers kept for the next call; returns how many bytes.");
}
