// Where the rows of a call lie. Step t has the rows [start(t), start(t + 1)): one for each of the first size(t) of the
// B sequences, which stand in order of falling length. A dense batch is the case of equal sizes.
//
// k counts the steps in the order of recurrence, t in time: the reverse direction starts each sequence at its own end.
#pragma once

namespace backtime {

struct Steps {
  long T, B;
  const long* offsets = nullptr;  // (T + 1,) or null for a dense batch
  bool reverse = false;

  long start(long t) const { return offsets ? offsets[t] : t * B; }
  long size(long t) const { return offsets ? offsets[t + 1] - offsets[t] : B; }
  long rows() const { return start(T); }
  long time(long k) const { return reverse ? T - 1 - k : k; }

  // Of step k: the first `going_on` rows have a step k - 1, the first `going_on(k + 1)` a step k + 1.
  long going_on(long k) const {
    if (k <= 0 || k >= T) return 0;
    const long here = size(time(k)), before = size(time(k - 1));
    return here < before ? here : before;
  }
  // Rows of the first `sequences` sequences.
  long rows_of(long sequences) const {
    if (!offsets) return T * sequences;
    long n = 0;
    for (long t = 0; t < T; t++) n += size(t) < sequences ? size(t) : sequences;
    return n;
  }
  // How many sequences, from the first, hold that share of the rows; whole multiples of nothing: any number.
  long sequences_for(long rows) const {
    if (!offsets) return (rows + T / 2) / T;
    long low = 0, high = B;
    while (low < high) {
      const long middle = (low + high) / 2;
      rows_of(middle) < rows ? low = middle + 1 : high = middle;
    }
    return low;
  }
};

}  // namespace backtime
