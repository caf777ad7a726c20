// SPDX-License-Identifier: BSD-3-Clause
//
// Operations on single rows or numbers: norms, activations and their derivatives.

#ifndef PET_POINTWISE_H
#define PET_POINTWISE_H

#include "gemm.h"
#include "weights.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace pet::PET_INSTRUCTION_SET {

/// RMSNorm or LayerNorm of rows.
template <typename T> class Norm {
 public:
  /// Makes a norm without gain and shift, which are folded into the next linear map.
  Norm(const Weights &weights, const std::string &name)
      : width_(static_cast<int>(weights.at(name + ".weight").rows)),
        centered_(weights.has(name + ".bias")),
        epsilon_(centered_ ? T(1e-5) : std::numeric_limits<T>::epsilon())
  {
  }
  Norm() = default;

  /// Makes a norm with gain and shift.
  static Norm whole(const Weights &weights, const std::string &name)
  {
    Norm norm(weights, name);
    for (const double value : weights.at(name + ".weight").values)
      norm.gain_.push_back(static_cast<T>(value));
    norm.shift_.assign(norm.width_, T(0));
    if (norm.centered_)
      for (int c = 0; c < norm.width_; c++)
        norm.shift_[c] = static_cast<T>(weights.at(name + ".bias").values[c]);
    return norm;
  }

  void apply(int rows, Rows<const T> x, Rows<T> y) const
  {
    for (int r = 0; r < rows; r++) {
      const auto [mean, scale] = moments(x[r]);
      const T *from = x[r];
      T *to = y[r];
#pragma omp simd
      for (int c = 0; c < width_; c++) to[c] = (from[c] - mean) * scale;
      if (!gain_.empty()) {
#pragma omp simd
        for (int c = 0; c < width_; c++) to[c] = to[c] * gain_[c] + shift_[c];
      }
    }
  }

  /// Adds to dx from dy; overwrites dy.
  void back_accumulate(int rows, Rows<const T> x, Rows<T> dy, Rows<T> dx) const
  {
    for (int r = 0; r < rows; r++) {
      const auto [mean, scale] = moments(x[r]);
      const T *from = x[r];
      T *by = dy[r], *to = dx[r];
      if (!gain_.empty()) {
#pragma omp simd
        for (int c = 0; c < width_; c++) by[c] *= gain_[c];
      }
      T sum = 0, projection = 0;
#pragma omp simd reduction(+ : sum, projection)
      for (int c = 0; c < width_; c++) {
        sum += by[c];
        projection += by[c] * (from[c] - mean);
      }
      sum = centered_ ? sum / width_ : T(0);
      projection = projection * scale * scale / width_;
#pragma omp simd
      for (int c = 0; c < width_; c++)
        to[c] += scale * (by[c] - sum - (from[c] - mean) * projection);
    }
  }

 private:
  int width_ = 0;
  bool centered_ = false;
  T epsilon_ = 0;
  std::vector<T> gain_, shift_;

  struct Moments {
    T mean, scale;
  };
  Moments moments(const T *x) const
  {
    T mean = 0, squares = 0;
    if (centered_) {
#pragma omp simd reduction(+ : mean)
      for (int c = 0; c < width_; c++) mean += x[c];
      mean /= width_;
    }
#pragma omp simd reduction(+ : squares)
    for (int c = 0; c < width_; c++) squares += (x[c] - mean) * (x[c] - mean);
    return {mean, T(1) / std::sqrt(squares / width_ + epsilon_)};
  }
};

/// Computes y = x sigmoid(x), and replaces x by dy/dx, which is all that the backward pass needs.
template <typename T> inline void silu(int count, T *x, T *y)
{
#pragma omp simd
  for (int i = 0; i < count; i++) {
    const T s = sigmoid(x[i]);
    y[i] = x[i] * s;
    x[i] = s * (T(1) + x[i] * (T(1) - s));
  }
}

/// Computes x *= y.
template <typename T> inline void scale(int count, const T *y, T *x)
{
#pragma omp simd
  for (int i = 0; i < count; i++) x[i] *= y[i];
}

/// Computes PET's "SwiGLU", y = v sigmoid(g) with h = [v, g]; replaces g by its sigmoid.
template <typename T> inline void gate(int width, T *h, T *y)
{
#pragma omp simd
  for (int c = 0; c < width; c++) {
    const T s = sigmoid(h[width + c]);
    y[c] = h[c] * s;
    h[width + c] = s;
  }
}

/// Computes dh [2 width] from dy [width], with h = [v, sigmoid(g)].
template <typename T> inline void gate_back(int width, const T *h, const T *dy, T *dh)
{
#pragma omp simd
  for (int c = 0; c < width; c++) {
    const T s = h[width + c], d = dy[c] * s;
    dh[c] = d;
    dh[width + c] = d * h[c] * (T(1) - s);
  }
}

template <typename T> inline void copy(int rows, int width, Rows<const T> from, Rows<T> to)
{
  for (int r = 0; r < rows; r++) std::memcpy(to[r], from[r], width * sizeof(T));
}

template <typename T> inline void add(int rows, int width, Rows<const T> from, Rows<T> to)
{
  for (int r = 0; r < rows; r++) {
    const T *source = from[r];
    T *target = to[r];
#pragma omp simd
    for (int c = 0; c < width; c++) target[c] += source[c];
  }
}

}  // namespace pet::PET_INSTRUCTION_SET

#endif
