// Vectors of floating-point numbers and how stored types become them, for the instruction set that
// the including file is compiled for. Included by kernels_impl.h alone, inside its namespace.
#pragma once

#define PADING_METHOD inline __attribute__((always_inline))  // of a class: not static

template <typename Real, int N>
struct VectorOf {
  typedef Real type __attribute__((vector_size(N * sizeof(Real))));
};
template <typename Real, int N>
using Vector = typename VectorOf<Real, N>::type;

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// Computation is in Real: float32 for the half types.
template <typename T>
struct RealOf {
  using type = T;
};
template <>
struct RealOf<Half> {
  using type = float;
};
template <>
struct RealOf<BFloat16> {
  using type = float;
};

template <typename To, typename From>
PADING_INLINE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "sizes differ");
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

template <typename V>
PADING_INLINE V load_bits(const void* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(V));
  return v;
}

// load<N>(pointer): N stored elements as a vector of Real.
template <int N>
PADING_INLINE Vector<float, N> load(const float* p) {
  return load_bits<Vector<float, N>>(p);
}
template <int N>
PADING_INLINE Vector<double, N> load(const double* p) {
  return load_bits<Vector<double, N>>(p);
}
template <int N>
PADING_INLINE Vector<float, N> load(const BFloat16* p) {
  const auto bits = load_bits<Vector<uint16_t, N>>(p);
  return bit_cast<Vector<float, N>>(__builtin_convertvector(bits, Vector<uint32_t, N>) << 16);
}
template <int N>
PADING_INLINE Vector<float, N> load(const Half* p) {
#if PADING_VECTOR_BYTES >= 32
  if constexpr (N == 8) {
    return bit_cast<Vector<float, N>>(_mm256_cvtph_ps(load_bits<__m128i>(p)));
  }
#endif
#if PADING_VECTOR_BYTES == 64
  if constexpr (N == 16) {
    return bit_cast<Vector<float, N>>(_mm512_maskz_cvtph_ps(0xffff, load_bits<__m256i>(p)));
  }
#endif
  using Bits = Vector<uint32_t, N>;
  const Bits half = __builtin_convertvector(load_bits<Vector<uint16_t, N>>(p), Bits);
  // Exponent and mantissa moved to their float places; the factor mends the bias, subnormals
  // included.
  const auto magnitude = bit_cast<Vector<float, N>>((half & 0x7fff) << 13) * 0x1p112f;
  const Bits not_finite = bit_cast<Bits>((half & 0x7c00) == 0x7c00) & 0x7f800000;
  return bit_cast<Vector<float, N>>(bit_cast<Bits>(magnitude) | not_finite |
                                    ((half & 0x8000) << 16));
}

PADING_INLINE float round_to(float x, float) { return x; }
PADING_INLINE double round_to(double x, double) { return x; }
PADING_INLINE BFloat16 round_to(float x, BFloat16) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  if (x != x) return {uint16_t(0x7fc0)};
  return {uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};  // to nearest, ties to even
}
PADING_INLINE Half round_to(float x, Half) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint16_t sign = uint16_t((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (x != x) return {uint16_t(sign | 0x7e00)};
  if (magnitude >= 0x47800000) return {uint16_t(sign | 0x7c00)};  // 65536 and above: infinity
  if (magnitude < 0x38800000) {
    // Below half's normal numbers: the spacing of floats at 0.5 is that of half's subnormals.
    const float shifted = bit_cast<float>(magnitude) + 0.5f;
    return {uint16_t(sign | (bit_cast<uint32_t>(shifted) - 0x3f000000))};
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1) - (112u << 23);
  return {uint16_t(sign | (rounded >> 13))};
}

template <int N>
PADING_INLINE void store(float* p, Vector<float, N> v) {
  __builtin_memcpy(p, &v, sizeof(v));
}
template <int N>
PADING_INLINE void store(double* p, Vector<double, N> v) {
  __builtin_memcpy(p, &v, sizeof(v));
}
template <int N>
PADING_INLINE void store(BFloat16* p, Vector<float, N> v) {
  using Bits = Vector<uint32_t, N>;
  const Bits bits = bit_cast<Bits>(v);
  const Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;  // to nearest, ties to even
  const auto stored =
      __builtin_convertvector(v == v ? rounded : 0x7fc0 | Bits{}, Vector<uint16_t, N>);
  __builtin_memcpy(p, &stored, sizeof(stored));
}
template <int N>
PADING_INLINE void store(Half* p, Vector<float, N> v) {
#if PADING_VECTOR_BYTES >= 32
  if constexpr (N == 8) {
    const __m128i bits = _mm256_cvtps_ph(bit_cast<__m256>(v), _MM_FROUND_TO_NEAREST_INT);
    __builtin_memcpy(p, &bits, sizeof(bits));
    return;
  }
#endif
#if PADING_VECTOR_BYTES == 64
  if constexpr (N == 16) {
    const __m256i bits =
        _mm512_maskz_cvtps_ph(0xffff, bit_cast<__m512>(v), _MM_FROUND_TO_NEAREST_INT);
    __builtin_memcpy(p, &bits, sizeof(bits));
    return;
  }
#endif
  for (int i = 0; i < N; ++i) p[i] = round_to(v[i], Half());
}

// The first `count` elements only; the rest of the vector is 0.
template <int N, typename T>
PADING_INLINE Vector<typename RealOf<T>::type, N> load_first(const T* p, int64_t count) {
  T padded[N] = {};
  for (int64_t i = 0; i < count; ++i) padded[i] = p[i];
  return load<N>(padded);
}
template <int N, typename T>
PADING_INLINE void store_first(T* p, Vector<typename RealOf<T>::type, N> v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) p[i] = round_to(v[i], T());
}

// Four numbers in memory, of which each is to multiply vectors of N.
template <typename Real, int N>
struct FourNumbers {
  const Real* numbers;
  PADING_METHOD explicit FourNumbers(const Real* p) : numbers(p) {}
  PADING_METHOD Real operator[](int i) const { return numbers[i]; }
};
#if PADING_VECTOR_BYTES == 64
// One load for all four rather than one for each: loads are what a gather waits for where the
// processor does one of 64 bytes a cycle.
template <>
struct FourNumbers<float, 16> {
  __m512 repeated;
  PADING_METHOD explicit FourNumbers(const float* p)
      : repeated(_mm512_maskz_broadcast_f32x4(0xffff, _mm_loadu_ps(p))) {}
  PADING_METHOD Vector<float, 16> operator[](int i) const {
    const __m512 all = i == 0   ? _mm512_maskz_permute_ps(0xffff, repeated, 0x00)
                       : i == 1 ? _mm512_maskz_permute_ps(0xffff, repeated, 0x55)
                       : i == 2 ? _mm512_maskz_permute_ps(0xffff, repeated, 0xaa)
                                : _mm512_maskz_permute_ps(0xffff, repeated, 0xff);
    return bit_cast<Vector<float, 16>>(all);
  }
};
template <>
struct FourNumbers<double, 8> {
  __m512d repeated;
  PADING_METHOD explicit FourNumbers(const double* p)
      : repeated(_mm512_maskz_broadcast_f64x4(0xff, _mm256_loadu_pd(p))) {}
  PADING_METHOD Vector<double, 8> operator[](int i) const {
    const __m512d all = i == 0   ? _mm512_maskz_permutex_pd(0xff, repeated, 0x00)
                        : i == 1 ? _mm512_maskz_permutex_pd(0xff, repeated, 0x55)
                        : i == 2 ? _mm512_maskz_permutex_pd(0xff, repeated, 0xaa)
                                 : _mm512_maskz_permutex_pd(0xff, repeated, 0xff);
    return bit_cast<Vector<double, 8>>(all);
  }
};
#endif

template <typename V, typename Wide>
PADING_INLINE V lower_half(const Wide& v) {
  V half;
  __builtin_memcpy(&half, &v, sizeof(V));
  return half;
}
template <typename V, typename Wide>
PADING_INLINE V upper_half(const Wide& v) {
  V half;
  __builtin_memcpy(&half, reinterpret_cast<const char*>(&v) + sizeof(V), sizeof(V));
  return half;
}

// Folds a vector to its sums over lanes that are equal modulo 4.
template <typename Real>
PADING_INLINE Vector<Real, 4> fold_to_4(Vector<Real, 4> v) {
  return v;
}
template <typename Real>
PADING_INLINE Vector<Real, 4> fold_to_4(Vector<Real, 8> v) {
  return lower_half<Vector<Real, 4>>(v) + upper_half<Vector<Real, 4>>(v);
}
template <typename Real>
PADING_INLINE Vector<Real, 4> fold_to_4(Vector<Real, 16> v) {
  return fold_to_4<Real>(lower_half<Vector<Real, 8>>(v) + upper_half<Vector<Real, 8>>(v));
}

// The sums of four vectors, as one vector.
PADING_INLINE Vector<float, 4> sums(Vector<float, 4> a, Vector<float, 4> b, Vector<float, 4> c,
                                    Vector<float, 4> d) {
#if PADING_VECTOR_BYTES >= 32
  return bit_cast<Vector<float, 4>>(
      _mm_hadd_ps(_mm_hadd_ps(bit_cast<__m128>(a), bit_cast<__m128>(b)),
                  _mm_hadd_ps(bit_cast<__m128>(c), bit_cast<__m128>(d))));
#else
  return Vector<float, 4>{(a[0] + a[1]) + (a[2] + a[3]), (b[0] + b[1]) + (b[2] + b[3]),
                          (c[0] + c[1]) + (c[2] + c[3]), (d[0] + d[1]) + (d[2] + d[3])};
#endif
}
PADING_INLINE Vector<double, 4> sums(Vector<double, 4> a, Vector<double, 4> b, Vector<double, 4> c,
                                     Vector<double, 4> d) {
  return Vector<double, 4>{(a[0] + a[1]) + (a[2] + a[3]), (b[0] + b[1]) + (b[2] + b[3]),
                           (c[0] + c[1]) + (c[2] + c[3]), (d[0] + d[1]) + (d[2] + d[3])};
}
