// SPDX-License-Identifier: BSD-3-Clause
//
// Linear maps, with weights packed for the forward and the backward pass.

#ifndef PET_LINEAR_H
#define PET_LINEAR_H

#include "buffer.h"
#include "gemm.h"
#include "weights.h"

#include <algorithm>
#include <vector>

namespace pet::PET_INSTRUCTION_SET {

/// A matrix B [depth, columns] stored in panels of columns; the last panel is padded with zeros.
template <typename T> class Packed {
 public:
  template <typename Element> void pack(int depth, int columns, Element &&element)
  {
    depth_ = depth;
    columns_ = columns;
    T *out = data_.get(static_cast<std::size_t>(depth) * padded<T>(columns));
    for (int first = 0; first < columns; first += PANEL<T>) {
      const int width = padded<T>(std::min(columns - first, PANEL<T>));
      for (int k = 0; k < depth; k++)
        for (int c = first; c < first + width; c++)
          *out++ = c < columns ? static_cast<T>(element(k, c)) : T(0);
    }
  }

  /// Computes C = start + bias + A B.  ``start`` may be C; ``start`` and ``bias`` may be null.
  void multiply(int rows, Rows<const T> a, const T *bias, Rows<const T> start, Rows<T> c) const
  {
    const T *b = data_.data();
    for (int first = 0; first < columns_; first += PANEL<T>) {
      const int left = std::min(columns_ - first, PANEL<T>);
      const int width = padded<T>(left);
      const T *added = bias ? bias + first : nullptr;
      const Rows<const T> from{start.data ? start.data + first : nullptr, start.stride};
      if (left == width)
        panel_of<T, true>(width / LANES<T>, rows, depth_, a.data, a.stride, 1, b, width, added,
                          from.data, from.stride, c.data + first, c.stride);
      else narrow(rows, left, a, b, added, from, c.column(first));
      b += static_cast<std::ptrdiff_t>(depth_) * width;
    }
  }

 private:
  int depth_ = 0, columns_ = 0;
  Buffer<T> data_;

  /// Computes the last panel where its vectors would extend beyond the last column of C.
  void narrow(int rows, int left, Rows<const T> a, const T *b, const T *bias, Rows<const T> start,
              Rows<T> c) const
  {
    constexpr int R = 4;
    const int width = padded<T>(left);
    T whole[R * PANEL<T>];
    for (int m = 0; m < rows; m += R) {
      const int count = std::min(R, rows - m);
      panel_of<T, true>(width / LANES<T>, count, depth_, a[m], a.stride, 1, b, width, bias, nullptr,
                        0, whole, width);
      for (int r = 0; r < count; r++)
        for (int n = 0; n < left; n++)
          c[m + r][n] = whole[r * width + n] + (start.data ? start[m + r][n] : T(0));
    }
  }
};

/// The map y = W x + b, applied to rows x.
template <typename T> class Linear {
 public:
  Linear() = default;
  Linear(const Matrix &weight, const Matrix *bias)
      : inputs_(static_cast<int>(weight.columns)), outputs_(static_cast<int>(weight.rows))
  {
    forward_.pack(inputs_, outputs_, [&](int k, int c) { return weight(c, k); });
    backward_.pack(outputs_, inputs_, [&](int k, int c) { return weight(k, c); });
    bias_.assign(padded<T>(outputs_), T(0));
    if (bias)
      for (int c = 0; c < outputs_; c++) bias_[c] = static_cast<T>(bias->values[c]);
  }
  Linear(const Weights &weights, const std::string &name)
      : Linear(weights.at(name + ".weight"), &weights.at(name + ".bias"))
  {
  }

  int inputs() const { return inputs_; }
  int outputs() const { return outputs_; }

  /// Computes y = W x + b.
  void apply(int rows, Rows<const T> x, Rows<T> y) const
  {
    forward_.multiply(rows, x, bias_.data(), {nullptr, 0}, y);
  }
  /// Computes y = start + W x + b; ``start`` may be y.
  void apply(int rows, Rows<const T> x, Rows<const T> start, Rows<T> y) const
  {
    forward_.multiply(rows, x, bias_.data(), start, y);
  }
  /// Computes dx = W^T dy.
  void back(int rows, Rows<const T> dy, Rows<T> dx) const
  {
    backward_.multiply(rows, dy, nullptr, {nullptr, 0}, dx);
  }
  /// Computes dx = start + W^T dy; ``start`` may be dx.
  void back(int rows, Rows<const T> dy, Rows<const T> start, Rows<T> dx) const
  {
    backward_.multiply(rows, dy, nullptr, start, dx);
  }

 private:
  int inputs_ = 0, outputs_ = 0;
  Packed<T> forward_, backward_;
  std::vector<T> bias_;
};

/// Returns the linear map ``name`` with the gain and shift of the preceding norm folded in.
template <typename T>
Linear<T> linear_behind(const Weights &weights, const std::string &norm, const std::string &name)
{
  Matrix weight = weights.at(name + ".weight"), bias = weights.at(name + ".bias");
  const Matrix &gain = weights.at(norm + ".weight");
  const Matrix *shift = weights.has(norm + ".bias") ? &weights.at(norm + ".bias") : nullptr;
  for (std::int64_t row = 0; row < weight.rows; row++)
    for (std::int64_t column = 0; column < weight.columns; column++) {
      double &value = weight.values[row * weight.columns + column];
      if (shift) bias.values[row] += value * shift->values[column];
      value *= gain.values[column];
    }
  return {weight, &bias};
}

}  // namespace pet::PET_INSTRUCTION_SET

#endif
