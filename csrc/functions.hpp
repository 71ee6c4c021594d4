// exp, sigmoid and tanh of one vector, with their error bounds (tests/test_functions.py measures them).
//
// Range reduction x = n ln 2 + r, |r| <= ln(2)/2, then e^r - 1 = r + r^2 q(r) with q a Chebyshev fit:
// degree 4 for float32 (error 8e-9), degree 10 for float64 (error 2e-19). NaN goes through every function.
#pragma once
#include "calls.hpp"
#include "simd.hpp"

namespace backtime::BT_ISA {

template <class T> struct Exponent;  // where the type keeps its exponent, and the constants of the reduction
template <> struct Exponent<float> {
  static constexpr float round = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr int bias = 127, shift = 23;
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float low = -87.33654f, high = 88.8f, scale_high = 88.37f, tanh_is_one = 9.02f;
  static constexpr float q[] = {0.5f, 0.16666576576f, 0.04166655444f, 0.00836320297f, 0.00139262135f};
};
template <> struct Exponent<double> {
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int bias = 1023, shift = 52;
  static constexpr double ln2_high = 0.693145751953125, ln2_low = 1.42860682030941723212e-6;
  static constexpr double low = -708.3964, high = 709.8, scale_high = 709.43, tanh_is_one = 19.1;
  static constexpr double q[] = {0.5,
                                 0.16666666666666671008,
                                 0.041666666666666669767,
                                 0.0083333333333261120526,
                                 0.0013888888888883731828,
                                 0.00019841269874901259234,
                                 2.4801587325605322782e-5,
                                 2.7557255297969644392e-6,
                                 2.7557273570102139673e-7,
                                 2.5105259538448493419e-8,
                                 2.0914717341716375952e-9};
};

// e^x = scale * (1 + p): p = e^r - 1 and scale = 2^n, for x within [low, high]; NaN ends in p. Beyond scale_high 2^n is
// infinite before e^x is.
template <class T> struct Split {
  Vec<T> scale, p;
};
template <class T> BT_INLINE Split<T> split_exp(Vec<T> x) {
  using E = Exponent<T>;
  const Vec<T> magic = broadcast<T>(E::round);
  const Vec<T> shifted = fma<T>(x, broadcast<T>(T(1.4426950408889634)), magic);
  const Vec<T> n = shifted - magic;
  Vec<T> r = fma<T>(n, broadcast<T>(-E::ln2_high), x);
  r = fma<T>(n, broadcast<T>(-E::ln2_low), r);
  constexpr int degree = sizeof(E::q) / sizeof(T) - 1;
  Vec<T> q = broadcast<T>(E::q[degree]);
#pragma GCC unroll 16
  for (int i = degree - 1; i >= 0; i--) q = fma<T>(q, r, broadcast<T>(E::q[i]));
  const VecInt<T> exponent = (bits<T>(shifted) - bits<T>(magic) + E::bias) << E::shift;
  return {from_bits<T>(exponent), fma<T>(r * r, q, r)};
}
template <class T> BT_INLINE Vec<T> clamp(Vec<T> x, T low, T high) {  // NaN stays NaN
  return smaller<T>(broadcast<T>(high), larger<T>(broadcast<T>(low), x));
}

// Within 1.5 ulp; 0 below the smallest normal number, infinity above the largest.
template <class T> BT_INLINE Vec<T> exp(Vec<T> x) {
  using E = Exponent<T>;
  const Split<T> s = split_exp<T>(clamp<T>(x, E::low, E::high));
  // 2^128 would be infinite, and 2^-126 p flushed to zero where there is no fma: so 2^127, doubled, or 2^-62 / 2^64.
  const VecInt<T> one = VecInt<T>{} + 1, less = x > Vec<T>{} ? one : one * -64;
  const Vec<T> scale = from_bits<T>(bits<T>(s.scale) - (less << E::shift));
  const Vec<T> y = fma<T>(scale, s.p, scale) * from_bits<T>((less + E::bias) << E::shift);
  return x < broadcast<T>(E::low) ? Vec<T>{} : y;
}

// 1 / (1 + e^-x), within 3 ulp; 0 below the smallest normal number.
template <class T> BT_INLINE Vec<T> sigmoid(Vec<T> x) {
  using E = Exponent<T>;
  const Split<T> s = split_exp<T>(clamp<T>(-x, E::low, E::scale_high));  // from there on the result is not normal
  const Vec<T> one = broadcast<T>(T(1));
  return one / (one + fma<T>(s.scale, s.p, s.scale));
}

// e / (e + 2) with e = e^(2|x|) - 1, which loses nothing near 0; within 3 ulp, odd, exactly 1 from tanh_is_one on.
template <class T> BT_INLINE Vec<T> tanh(Vec<T> x) {
  using E = Exponent<T>;
  const VecInt<T> sign = bits<T>(x) & bits<T>(broadcast<T>(T(-0.0)));
  const Vec<T> size = from_bits<T>(bits<T>(x) ^ sign);
  const Vec<T> inside = smaller<T>(broadcast<T>(E::tanh_is_one), size);  // NaN stays NaN
  const Split<T> s = split_exp<T>(inside + inside);
  const Vec<T> e = fma<T>(s.scale, s.p, s.scale - broadcast<T>(T(1)));
  return from_bits<T>(bits<T>(e / (e + broadcast<T>(T(2)))) | sign);
}

// The activations of the rnn by name.
template <class T> BT_INLINE Vec<T> activate(Activation f, Vec<T> z) {
  switch (f) {
    case Activation::tanh: return tanh<T>(z);
    case Activation::sigmoid: return sigmoid<T>(z);
    case Activation::relu: return larger<T>(Vec<T>{}, z);  // NaN stays NaN
    default: return z;
  }
}
// dh times f'(z), with f' from h = f(z). An off unit of the relu stops dh whatever it is, as PyTorch's does; NaN is on.
template <class T> BT_INLINE Vec<T> gradient(Activation f, Vec<T> h, Vec<T> dh) {
  const Vec<T> one = broadcast<T>(T(1));
  switch (f) {
    case Activation::tanh: return dh * (one - h * h);
    case Activation::sigmoid: return dh * (h * (one - h));
    case Activation::relu: return h <= Vec<T>{} ? Vec<T>{} : dh;
    default: return dh;
  }
}

}  // namespace backtime::BT_ISA
