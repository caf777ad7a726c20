// SPDX-License-Identifier: BSD-3-Clause
//
// The graph that a network evaluates, and its division into blocks that fit into the cache.

#ifndef PET_KERNELS_GRAPH_H
#define PET_KERNELS_GRAPH_H

#include "interface.h"

#include <cstdint>
#include <vector>

namespace pet {

/// Atoms and their edges, sorted by central atom.  A neighbour N + s belongs to another process,
/// which computes the reverse edge; the rows of both edges are swapped as row s of an exchange.
template <typename T> struct Graph {
  std::int64_t n_atoms, n_edges;
  const std::int64_t *species;    // [N + remote]
  const T *vectors;               // [E, 3]
  const T *factors;               // [E]
  const std::int64_t *centers;    // [E]
  const std::int64_t *neighbors;  // [E]
  const std::int64_t *reverse;    // [E]
  const double *grad_outputs;     // [N] weight of each atom's energy in the gradient
  const pet_exchange *exchange;   // null: this process computes all reverse edges
};

/// Consecutive atoms [first_atom, last_atom) and their edges.  The tokens of a block are the rows
/// of one matrix: first the central tokens, then the edges.
struct Block {
  std::int64_t first_atom, last_atom, first_edge, last_edge;

  int atoms() const { return static_cast<int>(last_atom - first_atom); }
  int edges() const { return static_cast<int>(last_edge - first_edge); }
  int rows() const { return atoms() + edges(); }
  /// Index of the first token of the block among all tokens.
  std::int64_t first_row() const { return first_atom + first_edge; }
};

/// Blocks and the first edge of each atom, from the central atoms of the edges.
class Layout {
 public:
  /// Forms blocks of at most ``rows`` tokens, or of one atom with more.
  void build(std::int64_t n_atoms, std::int64_t n_edges, const std::int64_t *centers,
             std::int64_t rows)
  {
    first_.assign(n_atoms + 1, 0);
    for (std::int64_t e = 0; e < n_edges; e++) first_[centers[e] + 1]++;
    for (std::int64_t i = 0; i < n_atoms; i++) first_[i + 1] += first_[i];
    blocks_.clear();
    for (std::int64_t atom = 0; atom < n_atoms;) {
      Block block{atom, atom + 1, first_[atom], first_[atom + 1]};
      while (block.last_atom < n_atoms &&
             block.rows() + 1 + first_[block.last_atom + 1] - block.last_edge <= rows) {
        block.last_atom++;
        block.last_edge = first_[block.last_atom];
      }
      atom = block.last_atom;
      blocks_.push_back(block);
    }
  }

  const std::vector<Block> &blocks() const { return blocks_; }
  std::int64_t first_edge(std::int64_t atom) const { return first_[atom]; }
  int edges_of(std::int64_t atom) const
  {
    return static_cast<int>(first_[atom + 1] - first_[atom]);
  }

 private:
  std::vector<std::int64_t> first_;
  std::vector<Block> blocks_;
};

}  // namespace pet

#endif
