// SPDX-License-Identifier: GPL-2.0-or-later
//
// From the atoms, ghosts and neighbour list of LAMMPS to the graph that an archive evaluates.
//
// A node is an atom ID.  All periodic images of an atom, local or ghost, are one node, and an edge
// has the numbers of cell vectors between its two images: a single rank never computes a ghost, and
// a cell may be smaller than the cutoff.  If several ghosts share an ID that no local atom has, the
// ghost nearest to the local atoms represents them (among equals the first in LAMMPS' order): this
// rank knows its environment at least as far as those of its images.  The reverse communication of
// LAMMPS adds the forces on a representative to its atom.
//
// Ranks that exchange messages have no ghosts as nodes, except that every edge to an atom of
// another rank has that ghost as a node of its own.  The other rank has its reverse edge.
//
// The graph is rebuilt with the neighbour list; in between only positions and the cell change.

#ifndef PET_GRAPH_H
#define PET_GRAPH_H

#include "archive.h"

#include "pointers.h"

#include <array>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

namespace LAMMPS_NS {

class NeighList;

/// An edge from a local atom to one of another rank.
struct RemoteEdge {
  tagint center, neighbor;
  std::array<double, 3> vector;    // in A, at the time when the graph was built
  int ghost;                       // LAMMPS index of the neighbour
};

class PETGraph : protected Pointers {
 public:
  using Pointers::Pointers;

  /// Builds the graph of the current atoms.  `numbers[type]` is the atomic number of a LAMMPS type,
  /// or 0 for a type that this potential ignores.  `cutoff` of edges and `reach`, the largest
  /// distance of a ghost from the local atoms, include the skin, in angstrom.  Throws
  /// std::runtime_error.
  void rebuild(const NeighList *list, const std::vector<int> &numbers, double cutoff, double reach);

  /// Does the same for ranks that exchange messages.
  void rebuild_local(const NeighList *list, const std::vector<int> &numbers, double cutoff,
                     pet::Exchange *exchange);

  /// Returns the edges to other ranks after rebuild_local, in the order of their nodes.
  const std::vector<RemoteEdge> &remote() const { return remote_; }

  const pet::Topology &topology() const { return topology_; }

  /// Returns the LAMMPS index of the atom or ghost of each node, local atoms first.
  const std::vector<int> &atoms() const { return atoms_; }

  /// Returns whether local atoms have changed their types since the graph was built.
  bool types_changed() const;

  /// Throws std::runtime_error if one of them changed between a type of this potential and one that
  /// it ignores.
  void check_types(const std::vector<int> &numbers) const;

  /// Throws std::runtime_error if images of an atom are not an integer number of cell vectors
  /// apart.
  void check_images() const;

  /// Returns the current positions of the nodes [N, 3].
  std::vector<double> positions() const;

  /// Returns the current cell [3, 3] of row vectors.
  std::array<double, 9> cell() const;

 private:
  /// Node and shift of the neighbour of an edge, packed into one integer that can be sorted.
  using Key = std::uint64_t;

  pet::Topology topology_;
  std::vector<int> atoms_;
  std::vector<int> types_;    // of local atoms
  std::vector<RemoteEdge> remote_;
  std::unordered_map<tagint, int> node_of_tag_;
  std::vector<std::pair<int, int>> images_;    // a sample for check_images: LAMMPS index, node
  std::vector<std::vector<Key>> rows_;         // [N] sorted edges of every node

  void find_owned(const std::vector<int> &numbers);
  void add_nearest_ghosts(const std::vector<int> &numbers, double reach);
  void find_edges(const NeighList *list, double cutoff);
  void add_remote_edges(const NeighList *list, const std::vector<int> &numbers, double cutoff);
  void close_under_reversal();
  void flatten();
  void label_nodes(const std::vector<int> &numbers, std::size_t owned);

  bool has_edge(int node, Key key) const;
  std::array<int, 3> shift(int atom, int node) const;
  std::array<double, 3> heights(const double *position) const;
};

}    // namespace LAMMPS_NS

#endif
