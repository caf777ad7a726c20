// SPDX-License-Identifier: BSD-3-Clause
//
// Remote edges, whose reverse edges another process computes, and the exchange of their rows.

#ifndef PET_REMOTE_H
#define PET_REMOTE_H

#include "buffer.h"
#include "graph.h"
#include "simd.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace pet::PET_INSTRUCTION_SET {

template <typename T> class Remote {
 public:
  void build(const Graph<T> &graph)
  {
    n_atoms_ = graph.n_atoms;
    neighbors_ = graph.neighbors;
    exchange_ = graph.exchange;
    if (!exchange_) return;
    edges_.assign(exchange_->n_remote, -1);
    for (std::int64_t e = 0; e < graph.n_edges; e++)
      if (const std::int64_t s = slot(e); s >= 0) edges_[s] = e;
  }

  /// Returns the row of an edge in the exchange, or -1 if this process computes its reverse edge.
  std::int64_t slot(std::int64_t edge) const
  {
    return exchange_ ? std::max<std::int64_t>(neighbors_[edge] - n_atoms_, -1) : -1;
  }

  /// Sends the rows of remote edges in ``table``, and fills ``incoming`` [remote, width] with the
  /// rows of their reverse edges.  The row of an edge that is longer than the cutoff is zero.
  void swap(Rows<const T> table, int width, Buffer<T> &incoming)
  {
    if (!exchange_) return;
    T *in = incoming.get(exchange_->n_remote * width);
    T *out = outgoing_.get(exchange_->n_remote * width);
    for (std::size_t s = 0; s < edges_.size(); s++) {
      T *row = out + s * width;
      if (edges_[s] < 0) std::fill_n(row, width, T(0));
      else std::memcpy(row, table[edges_[s]], width * sizeof(T));
    }
    const auto bytes = static_cast<std::int64_t>(width * sizeof(T));
    if (const char *failure = exchange_->swap(exchange_->context, out, in, bytes))
      throw std::runtime_error(failure);
  }

 private:
  std::int64_t n_atoms_ = 0;
  const std::int64_t *neighbors_ = nullptr;
  const pet_exchange *exchange_ = nullptr;
  std::vector<std::int64_t> edges_;  // [remote] edge of each row; -1: longer than the cutoff
  Buffer<T> outgoing_;
};

}  // namespace pet::PET_INSTRUCTION_SET

#endif
