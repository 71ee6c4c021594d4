// Sequences of unequal length as steps whose sizes fall.
#pragma once
#include <algorithm>
#include <numeric>

#include "tensors.hpp"

namespace backtime {

struct RaggedSteps {
  long T = 0, B = 0;          // steps that have a row; sequences, also those without a step
  std::vector<long> offsets;  // (T + 1,) the first row of each step
  std::vector<long> order;    // (B,) the caller's sequence at each place of a step; empty where they are the same

  // (batch_sizes, sorted_indices or None, B or None) of a PackedSequence.
  static RaggedSteps packed(const nb::tuple& given) {
    if (given.size() != 3) throw std::invalid_argument("sequences must be the sizes of the steps, the order, and B");
    RaggedSteps steps;
    steps.read_sizes(Tensor(given[0], "batch_sizes"));
    if (!given[2].is_none()) {
      const long B = value_of<long>(given[2], "B", "a number");
      if (B < steps.B || B > kMostElements) throw std::invalid_argument("B is less than the first of batch_sizes");
      steps.B = B;
    }
    if (!given[1].is_none()) steps.read_order(Tensor(given[1], "sorted_indices"));
    return steps;
  }
  // From the lengths of B sequences in T steps: by falling length, equal ones as they stand.
  static RaggedSteps padded(nb::handle given, long T, long B) {
    const std::vector<long> lengths = read_lengths(given, T, B);
    RaggedSteps steps;
    steps.B = B;
    steps.order.resize(B);
    std::iota(steps.order.begin(), steps.order.end(), 0);
    std::stable_sort(steps.order.begin(), steps.order.end(), [&](long a, long b) { return lengths[a] > lengths[b]; });
    steps.T = B ? lengths[steps.order[0]] : 0;
    steps.offsets.assign(1, 0);
    long going_on = B;
    for (long t = 0; t < steps.T; t++) {
      while (lengths[steps.order[going_on - 1]] <= t) going_on--;
      steps.offsets.push_back(steps.offsets.back() + going_on);
    }
    return steps;
  }

 private:
  void read_sizes(const Tensor& sizes) {
    if (sizes.ndim() != 1 || !sizes.is_contiguous()) sizes.refuse("must have one axis, without gaps");
    const int64_t* each = sizes.data<int64_t>();
    T = sizes.size(0);
    B = T ? each[0] : 0;
    offsets.assign(1, 0);
    for (long t = 0; t < T; t++) {
      if (each[t] < 1 || each[t] > (t ? each[t - 1] : kMostElements)) sizes.refuse("must fall to at least 1");
      offsets.push_back(offsets.back() + each[t]);
    }
  }
  void read_order(const Tensor& given) {
    given.expect({B});
    if (!given.is_contiguous()) given.refuse("must be without gaps");
    order.assign(given.data<int64_t>(), given.data<int64_t>() + B);
    std::vector<bool> seen(B);
    for (const long b : order) {
      if (b < 0 || b >= B || seen[b]) given.refuse("must be a permutation");
      seen[b] = true;
    }
  }
  static std::vector<long> read_lengths(nb::handle given, long T, long B) {
    if (!nb::isinstance<nb::list>(given)) throw std::invalid_argument("lengths is no list");
    std::vector<long> lengths;
    for (nb::handle n : nb::borrow<nb::list>(given)) {
      long length = -1;
      if (!PyLong_Check(n.ptr()) || PyBool_Check(n.ptr()) || !nb::try_cast(n, length) || length < 0 || length > T)
        throw std::invalid_argument("lengths holds what is no number of steps");
      lengths.push_back(length);
    }
    if (static_cast<long>(lengths.size()) != B) throw std::invalid_argument("lengths has another number of sequences");
    return lengths;
  }
};

}  // namespace backtime
