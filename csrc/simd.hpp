// One SIMD vector of T on the instruction set that this translation unit is compiled for.
//
// The same source is compiled once for each instruction set; BT_ISA names the namespace, so that no function of
// one set can be linked into another. Vectors are GCC/Clang vector types: + - * / and comparisons are the
// language's own; only what the language lacks (fma, broadcast, masks, control of denormals) stands here.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define BT_ISA avx512
#define BT_VECTOR_BYTES 64
#define BT_REGISTERS 32
#elif defined(__AVX2__)
#define BT_ISA avx2
#define BT_VECTOR_BYTES 32
#define BT_REGISTERS 16
#elif defined(__aarch64__)
#define BT_ISA neon
#define BT_VECTOR_BYTES 16
#define BT_REGISTERS 32
#else
#define BT_ISA baseline
#define BT_VECTOR_BYTES 16
#define BT_REGISTERS 16
#endif
// Masked loads and stores; not under a sanitizer, which does not look into these instructions.
#if defined(__AVX512F__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BT_MASKS 1
#else
#define BT_MASKS 0
#endif
#define BT_INLINE inline __attribute__((always_inline))
#define BT_NOINLINE __attribute__((noinline))  // options: out of the way of the plain path

namespace backtime::BT_ISA {

template <class T> struct Simd {
  typedef T V __attribute__((vector_size(BT_VECTOR_BYTES)));
  typedef std::conditional_t<sizeof(T) == 4, int32_t, int64_t> I;
  typedef I VI __attribute__((vector_size(BT_VECTOR_BYTES)));
  static constexpr int lanes = BT_VECTOR_BYTES / sizeof(T);
};
template <class T> using Vec = typename Simd<T>::V;
template <class T> using VecInt = typename Simd<T>::VI;
template <class T> constexpr int LANES = Simd<T>::lanes;

template <class T> BT_INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T> BT_INLINE void store(T* p, Vec<T> v) { std::memcpy(p, &v, sizeof v); }

// The first n lanes (0 <= n <= LANES); the others are zero. Nothing beyond p[n-1] is touched.
template <class T> BT_INLINE Vec<T> load_n(const T* p, int n) {
#if BT_MASKS
  if constexpr (sizeof(T) == 4) return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
  else return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
#else
  if (n == LANES<T>) return load(p);
  Vec<T> v{};
  for (int i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}
template <class T> BT_INLINE void store_n(T* p, Vec<T> v, int n) {
#if BT_MASKS
  if constexpr (sizeof(T) == 4) _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
  else _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), v);
#else
  if (n == LANES<T>) return store(p, v);
  for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}

template <class T> BT_INLINE Vec<T> broadcast(T x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_set1_ps(x);
  else return _mm512_set1_pd(x);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return _mm256_set1_ps(x);
  else return _mm256_set1_pd(x);
#elif defined(__x86_64__)
  if constexpr (sizeof(T) == 4) return _mm_set1_ps(x);
  else return _mm_set1_pd(x);
#else
  Vec<T> v;
  for (int i = 0; i < LANES<T>; i++) v[i] = x;
  return v;
#endif
}

// a * b + c, rounded once where the machine can (every set but the x86 baseline).
template <class T> BT_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_fmadd_ps(a, b, c);
  else return _mm512_fmadd_pd(a, b, c);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return _mm256_fmadd_ps(a, b, c);
  else return _mm256_fmadd_pd(a, b, c);
#elif defined(__aarch64__)
  Vec<T> v;
  for (int i = 0; i < LANES<T>; i++) v[i] = sizeof(T) == 4 ? __builtin_fmaf(a[i], b[i], c[i]) : __builtin_fma(a[i], b[i], c[i]);
  return v;
#else
  return a * b + c;
#endif
}

// a > b ? a : b and a < b ? a : b, so b where one of them is NaN. Of the ternary operator the compiler makes a comparison and a
// blend. Masked with all lanes on: of the plain intrinsics of AVX-512 GCC 12 warns that they use what is not set.
template <class T> BT_INLINE Vec<T> larger(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_maskz_max_ps(static_cast<__mmask16>(-1), a, b);
  else return _mm512_maskz_max_pd(static_cast<__mmask8>(-1), a, b);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return _mm256_max_ps(a, b);
  else return _mm256_max_pd(a, b);
#elif defined(__x86_64__)
  if constexpr (sizeof(T) == 4) return _mm_max_ps(a, b);
  else return _mm_max_pd(a, b);
#else
  return a > b ? a : b;
#endif
}
template <class T> BT_INLINE Vec<T> smaller(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_maskz_min_ps(static_cast<__mmask16>(-1), a, b);
  else return _mm512_maskz_min_pd(static_cast<__mmask8>(-1), a, b);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return _mm256_min_ps(a, b);
  else return _mm256_min_pd(a, b);
#elif defined(__x86_64__)
  if constexpr (sizeof(T) == 4) return _mm_min_ps(a, b);
  else return _mm_min_pd(a, b);
#else
  return a < b ? a : b;
#endif
}

template <class T> BT_INLINE VecInt<T> bits(Vec<T> v) {
  VecInt<T> i;
  std::memcpy(&i, &v, sizeof i);
  return i;
}
template <class T> BT_INLINE Vec<T> from_bits(VecInt<T> i) {
  Vec<T> v;
  std::memcpy(&v, &i, sizeof v);
  return v;
}

// Sum and maximum over the lanes, pairwise: the same order whatever the caller does.
template <class T> BT_INLINE T sum_lanes(Vec<T> v) {
  T a[LANES<T>];
  store(a, v);
  for (int width = LANES<T> / 2; width; width /= 2)
    for (int i = 0; i < width; i++) a[i] += a[i + width];
  return a[0];
}
template <class T> BT_INLINE T max_lanes(Vec<T> v) {
  T best = v[0];
  for (int i = 1; i < LANES<T>; i++) best = best < v[i] ? v[i] : best;
  return best;
}

// Denormals are flushed to zero while an engine call runs on a thread: they would cost a hundred cycles each.
class FlushDenormals {
#if defined(__x86_64__)
  unsigned before = _mm_getcsr();

 public:
  FlushDenormals() { _mm_setcsr(before | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before); }
#elif defined(__aarch64__)
  uint64_t before;
  static void set(uint64_t control) { asm volatile("msr fpcr, %0" ::"r"(control)); }

 public:
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before));
    set(before | 1u << 24);  // FZ
  }
  ~FlushDenormals() { set(before); }
#else
 public:
  FlushDenormals() {}
#endif
};

}  // namespace backtime::BT_ISA
