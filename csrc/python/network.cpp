// The bindings of the networks, apart from the others: they take long to compile.
#include <nanobind/stl/tuple.h>

#include "network_backward.hpp"
#include "network_forward.hpp"

namespace backtime {
namespace {

template <class T> void define(nb::module_& m, const char* saved, const char* forward, const char* backward) {
  nb::class_<SavedNetwork<T>>(m, saved);
  m.def(forward, forward_network<T>, "cell"_a, "fields"_a, "form"_a, "x"_a, "weights"_a, "h0"_a.none(), "c0"_a.none(), "sequences"_a.none(),
        "reset"_a.none(), "options"_a, "masks"_a, "save"_a);
  m.def(backward, backward_network<T>, "saved"_a, "cell"_a, "fields"_a, "x"_a, "weights"_a, "y"_a.none(), "dy"_a.none(), "dhn"_a.none(),
        "dcn"_a.none(), "options"_a, "masks"_a, "need"_a);
}

}  // namespace

void define_network(nb::module_& m) {
  define<float>(m, "SavedNetwork32", "network_forward32", "network_backward32");
  define<double>(m, "SavedNetwork64", "network_forward64", "network_backward64");
}

}  // namespace backtime
