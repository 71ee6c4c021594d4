// Where the tiles of one step find the state before and put the state after.
#pragma once
#include "panel.hpp"

namespace backtime::BT_ISA {

// Rows of one step whose state before lies in one place: sequence r has row at + r.
template <class T> struct Span {
  long at, gates, inner;         // sequence 0's row: of the call, of the gates, of what stands before the output product
  const T *into = nullptr, *before = nullptr;  // h before: what Wh multiplies, and what goes past it (they differ under h_mask)
  long into_ld = 0, before_ld = 0;
  long c_from = 0, c_to = 0;     // rows of c before and after
  long next = 0, next_rows = 0;  // row in the step after, and how many sequences reach it
};

// h_mask and cut on the way from one step's h into the next step's product.
template <class T> BT_INLINE Vec<T> masked(const Options<T>& o, Vec<T> h, long row, long at, long block, long P) {
  if (o.cut && o.cut[at]) return Vec<T>{};
  return o.h_mask ? h * load_n(o.h_mask + row * P + block * LANES<T>, lanes_in<T>(block, P)) : h;
}

// The share of the state before that stays, for one block of one row.
template <class T> BT_INLINE Vec<T> share_kept(T number, const T* rows, long at, long block, long N) {
  return rows ? load_n(rows + at * N + block * LANES<T>, lanes_in<T>(block, N)) : broadcast(number);
}

// Sequences [first, last) whose rows are this member's share, about as many rows as the others'.
inline void share_sequences(const Member& me, const Steps& steps, long& first, long& last) {
  const long rows = steps.rows();
  first = me.id ? steps.sequences_for(rows * me.id / me.count) : 0;
  last = me.id + 1 < me.count ? steps.sequences_for(rows * (me.id + 1) / me.count) : steps.B;
}

}  // namespace backtime::BT_ISA
