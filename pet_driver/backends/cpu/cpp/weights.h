// SPDX-License-Identifier: BSD-3-Clause
//
// The weights of a network by name, in double precision.

#ifndef PET_WEIGHTS_H
#define PET_WEIGHTS_H

#include <cstdint>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pet {

/// A matrix [rows, columns], or a vector with one column, in double precision.
struct Matrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;

  double operator()(std::int64_t row, std::int64_t column) const
  {
    return values[row * columns + column];
  }

  /// Returns ``count`` columns from ``first`` on.
  Matrix slice(std::int64_t first, std::int64_t count) const
  {
    Matrix part{rows, count, {}};
    for (std::int64_t row = 0; row < rows; row++)
      for (std::int64_t column = 0; column < count; column++)
        part.values.push_back((*this)(row, first + column));
    return part;
  }
};

inline Matrix operator*(const Matrix &a, const Matrix &b)
{
  Matrix product{a.rows, b.columns, std::vector<double>(a.rows * b.columns, 0.0)};
  for (std::int64_t i = 0; i < a.rows; i++)
    for (std::int64_t k = 0; k < a.columns; k++)
      for (std::int64_t j = 0; j < b.columns; j++)
        product.values[i * b.columns + j] += a(i, k) * b(k, j);
  return product;
}

class Weights {
 public:
  void add(const std::string &name, Matrix matrix) { matrices_[name] = std::move(matrix); }

  bool has(const std::string &name) const { return matrices_.count(name) != 0; }

  const Matrix &at(const std::string &name) const
  {
    const auto found = matrices_.find(name);
    if (found == matrices_.end()) throw std::invalid_argument("the network has no weight " + name);
    return found->second;
  }

 private:
  std::unordered_map<std::string, Matrix> matrices_;
};

/// Settings of a network that do not follow from its weights.
struct Options {
  int num_heads;
  double temperature;
  bool pre_norm;
  std::string instruction_set = "";  // empty: the fastest
};

}  // namespace pet

#endif
