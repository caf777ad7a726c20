// SPDX-License-Identifier: BSD-3-Clause
//
// SIMD vectors, with the vector types of the compiler instead of intrinsics.
//
// Files that are compiled once per instruction set put their code into the namespace
// PET_INSTRUCTION_SET, so that one library can hold all versions.

#ifndef PET_SIMD_H
#define PET_SIMD_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#ifndef PET_INSTRUCTION_SET
#define PET_INSTRUCTION_SET native
#endif

namespace pet::PET_INSTRUCTION_SET {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
constexpr int REGISTERS = 32;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
constexpr int REGISTERS = 16;
#else
constexpr int VECTOR_BYTES = 16;
constexpr int REGISTERS = 16;
#endif

template <typename T> struct VectorOf;
template <> struct VectorOf<float> {
  typedef float type __attribute__((vector_size(VECTOR_BYTES)));
};
template <> struct VectorOf<double> {
  typedef double type __attribute__((vector_size(VECTOR_BYTES)));
};
template <typename T> using Vector = typename VectorOf<T>::type;
template <typename T> constexpr int LANES = VECTOR_BYTES / static_cast<int>(sizeof(T));

template <typename T> constexpr int padded(int n)
{
  return (n + LANES<T> - 1) / LANES<T> * LANES<T>;
}

template <typename T> inline Vector<T> load(const T *from)
{
  Vector<T> value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T> inline void store(T *to, Vector<T> value)
{
  std::memcpy(to, &value, sizeof value);
}

constexpr double INVERSE_FACTORIALS[] = {1.0,
                                         1.0,
                                         1.0 / 2,
                                         1.0 / 6,
                                         1.0 / 24,
                                         1.0 / 120,
                                         1.0 / 720,
                                         1.0 / 5040,
                                         1.0 / 40320,
                                         1.0 / 362880,
                                         1.0 / 3628800,
                                         1.0 / 39916800,
                                         1.0 / 479001600,
                                         1.0 / 6227020800};

template <typename T> struct Bits;
template <> struct Bits<float> {
  using integer = std::int32_t;
  static constexpr int mantissa = 23, bias = 127, terms = 7;
  static constexpr float lowest = -87.0f, highest = 88.0f;
};
template <> struct Bits<double> {
  using integer = std::int64_t;
  static constexpr int mantissa = 52, bias = 1023, terms = 13;
  static constexpr double lowest = -708.0, highest = 709.0;
};

/// Computes e^x within one or two units in the last place, in a form that the compiler vectorizes:
/// x = n ln 2 + r, and the Taylor series of e^r for |r| <= ln(2)/2.  NaN stays NaN.
template <typename T> inline T exponential(T x)
{
  using B = Bits<T>;
  x = x < B::lowest ? B::lowest : x;
  x = x > B::highest ? B::highest : x;
  const T n = std::nearbyint(x * T(1.44269504088896340736));
  // ln 2 in two parts; the first has so few digits that its product with n is exact
  T r = x - n * T(0.693145751953125);
  r = r - n * T(1.428606820309417232e-6);
  T series = T(INVERSE_FACTORIALS[B::terms]);
#pragma GCC unroll 16
  for (int k = B::terms - 1; k >= 0; k--) series = series * r + T(INVERSE_FACTORIALS[k]);
  const auto power = (static_cast<typename B::integer>(n) + B::bias) << B::mantissa;
  T scale;
  std::memcpy(&scale, &power, sizeof scale);
  return series * scale;
}

template <typename T> inline T sigmoid(T x) { return T(1) / (T(1) + exponential(-x)); }

}  // namespace pet::PET_INSTRUCTION_SET

#endif
