// SPDX-License-Identifier: BSD-3-Clause
//
// Matrix products with one small dimension, as in a transformer with few features.
//
// A tile of C stays in registers during the sum over the depth.  B is read in panels as wide as the
// tile and A one number at a time, so that both may have any row stride.

#ifndef PET_GEMM_H
#define PET_GEMM_H

#include "simd.h"

#include <algorithm>

namespace pet::PET_INSTRUCTION_SET {

/// The widest tile, in vectors, and the number of tile rows that fit into the registers.
constexpr int TILE_VECTORS = REGISTERS == 32 ? 4 : 2;
constexpr int tile_rows(int vectors)
{
  if (REGISTERS == 32) return vectors == 4 ? 6 : vectors == 3 ? 8 : 12;
  return vectors == 2 ? 6 : 8;
}

template <typename T> constexpr int PANEL = TILE_VECTORS * LANES<T>;

/// A matrix in memory: its first element and the stride between rows.
template <typename T> struct Rows {
  T *data;
  std::ptrdiff_t stride;

  T *operator[](std::ptrdiff_t row) const { return data + row * stride; }
  Rows from(std::ptrdiff_t row) const { return {data + row * stride, stride}; }
  Rows column(std::ptrdiff_t c) const { return {data + c, stride}; }
  operator Rows<const T>() const { return {data, stride}; }
};

/// Computes C = start + bias + A B on one tile.  A(m, k) = a[m a_row + k a_column].  ``start`` (a
/// tile like C, or C itself) and ``bias`` (one row) may be null.
template <typename T, int ROWS, int VECTORS, bool CONTIGUOUS>
inline void tile(int depth, const T *a, std::ptrdiff_t a_row, std::ptrdiff_t a_column, const T *b,
                 std::ptrdiff_t b_row, const T *bias, const T *start, std::ptrdiff_t start_row,
                 T *c, std::ptrdiff_t c_row)
{
  constexpr int L = LANES<T>;
  Vector<T> sums[ROWS][VECTORS];
#pragma GCC unroll 16
  for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
      sums[m][v] = bias ? load(bias + v * L) : Vector<T>{};
      if (start) sums[m][v] += load(start + m * start_row + v * L);
    }
  const std::ptrdiff_t step = CONTIGUOUS ? 1 : a_column;
  for (int k = 0; k < depth; k++) {
    Vector<T> row[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) row[v] = load(b + k * b_row + v * L);
#pragma GCC unroll 16
    for (int m = 0; m < ROWS; m++) {
      const T value = a[m * a_row + k * step];
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; v++) sums[m][v] += value * row[v];
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) store(c + m * c_row + v * L, sums[m][v]);
}

/// Computes a tile with ``rows`` <= ROWS rows, the last ones of a panel.
template <typename T, int ROWS, int VECTORS, bool CONTIGUOUS, typename... Arguments>
inline void tile_of(int rows, Arguments... arguments)
{
  if (rows == ROWS) return tile<T, ROWS, VECTORS, CONTIGUOUS>(arguments...);
  if constexpr (ROWS > 1) tile_of<T, ROWS - 1, VECTORS, CONTIGUOUS>(rows, arguments...);
}

template <typename T, int VECTORS, bool CONTIGUOUS>
inline void panel(int rows, int depth, const T *a, std::ptrdiff_t a_row, std::ptrdiff_t a_column,
                  const T *b, std::ptrdiff_t b_row, const T *bias, const T *start,
                  std::ptrdiff_t start_row, T *c, std::ptrdiff_t c_row)
{
  constexpr int R = tile_rows(VECTORS);
  for (int m = 0; m < rows; m += R)
    tile_of<T, R, VECTORS, CONTIGUOUS>(std::min(R, rows - m), depth, a + m * a_row, a_row, a_column,
                                       b, b_row, bias, start ? start + m * start_row : nullptr,
                                       start_row, c + m * c_row, c_row);
}

/// Computes one panel of C [rows, vectors * lanes].
template <typename T, bool CONTIGUOUS>
inline void panel_of(int vectors, int rows, int depth, const T *a, std::ptrdiff_t a_row,
                     std::ptrdiff_t a_column, const T *b, std::ptrdiff_t b_row, const T *bias,
                     const T *start, std::ptrdiff_t start_row, T *c, std::ptrdiff_t c_row)
{
  const auto run = [&]<int V>() {
    panel<T, V, CONTIGUOUS>(rows, depth, a, a_row, a_column, b, b_row, bias, start, start_row, c,
                            c_row);
  };
  if (vectors == 1) run.template operator()<1>();
  if (vectors == 2) run.template operator()<2>();
  if constexpr (TILE_VECTORS == 4) {
    if (vectors == 3) run.template operator()<3>();
    if (vectors == 4) run.template operator()<4>();
  }
}

/// Computes C [rows, columns] = A [rows, depth] B [depth, columns]; columns is a multiple of LANES.
template <typename T>
inline void multiply(int rows, int columns, int depth, Rows<const T> a, Rows<const T> b, Rows<T> c)
{
  for (int n = 0; n < columns; n += PANEL<T>)
    panel_of<T, true>(std::min(columns - n, PANEL<T>) / LANES<T>, rows, depth, a.data, a.stride, 1,
                      b.data + n, b.stride, nullptr, nullptr, 0, c.data + n, c.stride);
}

/// Computes C [rows, columns] = A^T B with A [depth, rows].
template <typename T>
inline void multiply_transposed(int rows, int columns, int depth, Rows<const T> a, Rows<const T> b,
                                Rows<T> c)
{
  for (int n = 0; n < columns; n += PANEL<T>)
    panel_of<T, false>(std::min(columns - n, PANEL<T>) / LANES<T>, rows, depth, a.data, 1, a.stride,
                       b.data + n, b.stride, nullptr, nullptr, 0, c.data + n, c.stride);
}

}  // namespace pet::PET_INSTRUCTION_SET

#endif
