// SPDX-License-Identifier: BSD-3-Clause
//
// Multi-head attention among the tokens of one atom (the central token and its edges).
//
// The tokens of one atom form a matrix of a few dozen rows, which fits into the level-1 cache.
// Queries, keys and values are gathered into dense, padded tables, so that every product uses full
// vector registers for any head size.

#ifndef PET_ATTENTION_H
#define PET_ATTENTION_H

#include "buffer.h"
#include "gemm.h"

namespace pet::PET_INSTRUCTION_SET {

/// Rows of the tokens of one atom in its block: one central token, and consecutive edges.
struct Tokens {
  int center, edges;  // rows
  int count;          // 1 + the number of edges

  int row(int token) const { return token == 0 ? center : edges + token - 1; }
};

template <typename T> class Attention {
 public:
  Attention() = default;
  Attention(int width, int heads)
      : heads_(heads), size_(width / heads), padded_(padded<T>(width / heads)), width_(width)
  {
  }

  /// Number of attention weights that ``forward`` stores for ``backward``, for one atom.
  std::size_t kept(int tokens) const
  {
    return static_cast<std::size_t>(heads_) * tokens * padded<T>(tokens);
  }

  struct Scratch {
    Buffer<T> tables[7];
  };

  /// Computes ``mixed`` [rows, width] from ``qkv`` [rows, 3 width] with scaled queries and from
  /// ``logs`` [edges], the logarithms of the cutoff factors; stores ``weights``.
  void forward(Tokens tokens, Rows<const T> qkv, const T *logs, T *weights, Rows<T> mixed,
               Scratch &scratch) const
  {
    const int n = tokens.count, columns = padded<T>(n);
    const Rows<T> q = table(scratch, 0, n), v = table(scratch, 1, n), out = table(scratch, 2, n);
    const Rows<T> k{scratch.tables[3].get(static_cast<std::size_t>(size_) * columns), columns};
    T *padded_logs = row(scratch, columns);
    padded_logs[0] = T(0);
    for (int c = 1; c < columns; c++) padded_logs[c] = c < n ? logs[c - 1] : LOWEST;
    for (int head = 0; head < heads_; head++, weights += static_cast<std::size_t>(n) * columns) {
      gather(tokens, qkv.column(head * size_), q);
      gather_transposed(tokens, qkv.column(width_ + head * size_), k);
      gather(tokens, qkv.column(2 * width_ + head * size_), v);
      const Rows<T> p{weights, columns};
      multiply<T>(n, columns, size_, q, k, p);
      softmax(n, padded_logs, p);
      multiply<T>(n, padded_, n, p, v, out);
      scatter(tokens, out, mixed.column(head * size_));
    }
  }

  /// Computes ``dqkv`` from ``dmixed``; adds to ``dlogs``.
  void backward(Tokens tokens, Rows<const T> qkv, const T *weights, Rows<const T> dmixed,
                Rows<T> dqkv, T *dlogs, Scratch &scratch) const
  {
    const int n = tokens.count, columns = padded<T>(n);
    const Rows<T> q = table(scratch, 0, n), k = table(scratch, 1, n), dm = table(scratch, 2, n);
    const Rows<T> v{scratch.tables[3].get(static_cast<std::size_t>(size_) * columns), columns};
    const Rows<T> dp{scratch.tables[4].get(static_cast<std::size_t>(n) * columns), columns};
    const Rows<T> out = table(scratch, 5, n);
    T *padded_dlogs = row(scratch, columns);
    for (int c = 0; c < columns; c++) padded_dlogs[c] = T(0);
    for (int head = 0; head < heads_; head++, weights += static_cast<std::size_t>(n) * columns) {
      gather(tokens, qkv.column(head * size_), q);
      gather(tokens, qkv.column(width_ + head * size_), k);
      gather_transposed(tokens, qkv.column(2 * width_ + head * size_), v);
      gather(tokens, dmixed.column(head * size_), dm);
      const Rows<const T> p{weights, columns};
      multiply_transposed<T>(n, padded_, n, p, dm, out);
      scatter(tokens, out, dqkv.column(2 * width_ + head * size_));
      multiply<T>(n, columns, size_, dm, v, dp);
      softmax_back(n, p, dp, padded_dlogs);
      multiply<T>(n, padded_, n, dp, k, out);
      scatter(tokens, out, dqkv.column(head * size_));
      multiply_transposed<T>(n, padded_, n, dp, q, out);
      scatter(tokens, out, dqkv.column(width_ + head * size_));
    }
    for (int c = 1; c < n; c++) dlogs[c - 1] += padded_dlogs[c];
  }

 private:
  int heads_ = 0, size_ = 0, padded_ = 0, width_ = 0;

  // The logit of padding: its exponential vanishes, and sums with it stay finite.
  static constexpr T LOWEST = T(-1e30);

  /// Returns a table for the features of one head, with zeros in the padding of each row.
  Rows<T> table(Scratch &scratch, int index, int rows) const
  {
    const Rows<T> result{scratch.tables[index].get(static_cast<std::size_t>(rows) * padded_),
                         padded_};
    for (int r = 0; r < rows; r++)
      for (int c = size_; c < padded_; c++) result[r][c] = T(0);
    return result;
  }

  static T *row(Scratch &scratch, int columns) { return scratch.tables[6].get(columns); }

  void gather(Tokens tokens, Rows<const T> from, Rows<T> to) const
  {
    for (int token = 0; token < tokens.count; token++) move(from[tokens.row(token)], to[token]);
  }

  void scatter(Tokens tokens, Rows<const T> from, Rows<T> to) const
  {
    for (int token = 0; token < tokens.count; token++) move(from[token], to[tokens.row(token)]);
  }

  /// Copies the features of one head without the padding, which ``table`` has set to zero.
  void move(const T *from, T *to) const
  {
    int c = 0;
    for (; c + LANES<T> <= size_; c += LANES<T>) store(to + c, load(from + c));
    for (; c < size_; c++) to[c] = from[c];
  }

  void gather_transposed(Tokens tokens, Rows<const T> from, Rows<T> to) const
  {
    const int columns = static_cast<int>(to.stride);
    for (int token = 0; token < columns; token++) {
      T *target = to.data + token;
      if (token >= tokens.count) {
        for (int c = 0; c < size_; c++) target[c * columns] = T(0);
        continue;
      }
      const T *source = from[tokens.row(token)];
      for (int c = 0; c < size_; c++) target[c * columns] = source[c];
    }
  }

  /// Replaces rows of logits by weights.  ``logs`` is as long as a row, with LOWEST in the padding.
  static void softmax(int n, const T *logs, Rows<T> p)
  {
    const int columns = static_cast<int>(p.stride);
    for (int row = 0; row < n; row++) {
      T *x = p[row];
      T largest = LOWEST;
#pragma omp simd reduction(max : largest)
      for (int c = 0; c < columns; c++) {
        x[c] += logs[c];
        largest = x[c] > largest ? x[c] : largest;
      }
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int c = 0; c < columns; c++) {
        x[c] = exponential(x[c] - largest);
        sum += x[c];
      }
      const T scale = T(1) / sum;
#pragma omp simd
      for (int c = 0; c < columns; c++) x[c] *= scale;
    }
  }

  /// Replaces gradients by weights with gradients by logits, and adds these to ``dlogs``.
  static void softmax_back(int n, Rows<const T> p, Rows<T> d, T *dlogs)
  {
    const int columns = static_cast<int>(p.stride);
    for (int row = 0; row < n; row++) {
      const T *weight = p[row];
      T *by = d[row];
      T mean = 0;
#pragma omp simd reduction(+ : mean)
      for (int c = 0; c < columns; c++) mean += weight[c] * by[c];
#pragma omp simd
      for (int c = 0; c < columns; c++) {
        by[c] = weight[c] * (by[c] - mean);
        dlogs[c] += by[c];
      }
    }
  }
};

}  // namespace pet::PET_INSTRUCTION_SET

#endif
