// SPDX-License-Identifier: GPL-2.0-or-later
//
// Messages of edges between ranks.
//
// An edge from an atom here to one of another rank has its reverse edge there, and in every layer of
// message passing each needs the other.  Which of them belong together is settled when the graph is
// built: the lower of two ranks sends IDs and vectors of its edges to the other one, and that order
// holds for both.  An edge without counterpart, longer than the cutoff by a skin and by rounding,
// gets zeros.

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

  /// Finds the counterparts of `edges`; `owners[ghost]` is the rank of a LAMMPS index.  All ranks
  /// call this together.
  void rebuild(const std::vector<RemoteEdge> &edges, const std::vector<int> &owners);

  std::int64_t size() const override { return size_; }
  void swap(const void *outgoing, void *incoming, std::int64_t row_bytes) override;

 private:
  struct Partner {
    int rank;
    std::vector<int> edges;    // in the order of both; -1: the other one's has no counterpart here
    std::vector<char> out, in;
  };

  std::int64_t size_ = 0;
  std::vector<Partner> partners_;
};

}    // namespace LAMMPS_NS

#endif
