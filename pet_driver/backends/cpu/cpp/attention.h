// Attention of the tokens of one atom (its centre and its edges) to each other, head by head.
//
// The tokens of one atom are a matrix of a few dozen rows, which stays in the nearest cache.  Their
// queries, keys and values are gathered into dense, padded tables, so that every product runs on
// whole vectors whatever the size of a head.

#ifndef PET_ATTENTION_H
#define PET_ATTENTION_H

#include "buffer.h"
#include "gemm.h"

namespace pet::PET_LEVEL {

/// Where the tokens of an atom are among the rows of its block: the centre apart, the edges
/// together.
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

  /// Numbers that ``forward`` keeps for ``backward``, for one atom with so many tokens.
  std::size_t kept(int tokens) const
  {
    return static_cast<std::size_t>(heads_) * tokens * padded<T>(tokens);
  }

  struct Scratch {
    Buffer<T> tables[7];
  };

  /// ``qkv`` [rows, 3 width], queries scaled already; ``logs`` [edges], logarithms of the cutoff
  /// factors; ``weights`` is kept; ``mixed`` [rows, width] is the result.
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

  /// ``dqkv`` from ``dmixed``; adds to ``dlogs``.
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

  // Low enough that its exponential is nothing beside that of a token, high enough to be added to.
  static constexpr T LOWEST = T(-1e30);

  /// A table for the features of one head, with zeros where a row is filled up.
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

  /// The features of one head; what fills up the last vector of a table was zeroed before.
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

  /// Rows of logits become weights.  ``logs`` is as long as a row, and low where no token is.
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

  /// Gradients by weights become gradients by logits, which are added up in ``dlogs``.
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

}  // namespace pet::PET_LEVEL

#endif
