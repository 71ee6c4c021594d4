// The output unit with its loss.
#pragma once
#include "arrays.hpp"

namespace backtime {

template <class T>
void softmax_cross_entropy(In<T> h, In<T> Wy, In<T> by, Tokens targets, Maybe<In<T>> row_weights, Out<T> losses, Maybe<Out<T>> dh,
                           Maybe<Out<T>> dWy, Maybe<Out<T>> dby) {
  if (h.ndim() != 2 || Wy.ndim() != 2 || h.shape(1) != Wy.shape(1)) throw std::invalid_argument("h must be (R, H) and Wy (V, H)");
  const long R = h.shape(0), H = h.shape(1), V = Wy.shape(0);
  if (H < 1 || V < 1) throw std::invalid_argument("H and V must be at least 1");
  if (dh.has_value() != dWy.has_value() || dh.has_value() != dby.has_value() || (dh && !row_weights))
    throw std::invalid_argument("dh, dWy, dby and row_weights come together");
  CallArrays arrays;
  tokens_below(targets, R, V, "targets");
  const HeadCall<T> call{R,
                         H,
                         V,
                         arrays(h, R * H, "h"),
                         arrays(Wy, V * H, "Wy"),
                         arrays(by, V, "by"),
                         arrays(targets, R, "targets"),
                         arrays(row_weights, R, "row_weights"),
                         arrays(losses, R, "losses"),
                         arrays(dh, R * H, "dh"),
                         arrays(dWy, V * H, "dWy"),
                         arrays(dby, V, "dby"),
                         team_size()};
  arrays.refuse_overlaps();
  const GilReleased release;
  if (R) kernels<T>().softmax_cross_entropy(call);
}

}  // namespace backtime
