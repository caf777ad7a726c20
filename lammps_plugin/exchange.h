// SPDX-License-Identifier: GPL-2.0-or-later
//
// The exchange of messages of edges between ranks.
//
// An edge from an atom of this rank to one of another rank has its reverse edge there, and in every
// message-passing layer each needs the message of the other.  The pairs of edges are found when the
// graph is built: the lower of two ranks sends IDs and vectors of its edges to the other one, and
// both keep this order.  An edge at the outer end of the skin may lack its reverse edge, because of
// rounding; it receives zeros.

#ifndef PET_EXCHANGE_H
#define PET_EXCHANGE_H

#include "archive.h"
#include "graph.h"

#include "pointers.h"

#include <vector>

namespace LAMMPS_NS {

class PETExchange : public pet::Exchange, protected Pointers {
 public:
  using Pointers::Pointers;
  ~PETExchange() noexcept override = default;

  /// Finds the reverse edges of `edges` on other ranks; `owners[ghost]` is the rank that owns a
  /// ghost.  All ranks must call this.
  void rebuild(const std::vector<RemoteEdge> &edges, const std::vector<int> &owners);

  std::int64_t size() const override { return size_; }
  void swap(const void *outgoing, void *incoming, std::int64_t row_bytes) override;

 private:
  struct Partner {
    int rank;
    std::vector<int> edges;    // in the order of both ranks; -1: this rank has no reverse edge
    std::vector<char> out, in;
  };

  std::int64_t size_ = 0;
  std::vector<Partner> partners_;
};

}    // namespace LAMMPS_NS

#endif
