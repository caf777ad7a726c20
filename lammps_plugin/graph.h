// SPDX-License-Identifier: GPL-2.0-or-later
//
// From LAMMPS' atoms, ghosts and neighbour list to the graph that an archive takes.
//
// A node is an atom ID.  All periodic images of an atom, local or ghost, are one node, and an edge
// carries the whole cell vectors between the two images: on one rank no ghost is ever computed, and
// a cell may be smaller than the cutoff.  Where several ghosts share an ID that no local atom has,
// the ghost nearest to the local atoms represents them (the first in LAMMPS' order among equals):
// its surroundings are known at least as far as those of its images.  Forces on a representative
// go home with LAMMPS' reverse communication.
//
// Ranks that exchange messages have no ghosts as nodes.  An edge to an atom of another rank has that
// ghost as a node of its own, and its reverse edge is there.
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
  std::array<double, 3> vector;    // A, when the graph was built
  int ghost;                       // LAMMPS index of the neighbour
};

class PETGraph : protected Pointers {
 public:
  using Pointers::Pointers;

  /// Atoms and edges as of now.  `numbers[type]` is the atomic number of a LAMMPS type, 0 for a
  /// type this potential ignores; `cutoff` and `reach` (of edges, and of ghosts from the local
  /// atoms) include the skin, in angstrom.  Throws std::runtime_error.
  void rebuild(const NeighList *list, const std::vector<int> &numbers, double cutoff, double reach);

  /// The same for ranks that exchange messages.
  void rebuild_local(const NeighList *list, const std::vector<int> &numbers, double cutoff,
                     pet::Exchange *exchange);

  /// Edges to other ranks after rebuild_local, in the order of their nodes.
  const std::vector<RemoteEdge> &remote() const { return remote_; }

  const pet::Topology &topology() const { return topology_; }

  /// LAMMPS index of the atom or ghost behind each node, local atoms first.
  const std::vector<int> &atoms() const { return atoms_; }

  /// Whether local atoms have other types than when the graph was built.
  bool types_changed() const;

  /// Throws std::runtime_error where one of them has come to, or left, the types of this potential.
  void check_types(const std::vector<int> &numbers) const;

  /// Throws std::runtime_error where atoms are not whole cell vectors from their images.
  void check_images() const;

  /// Current positions of the nodes, [N, 3].
  std::vector<double> positions() const;

  /// Current cell, [3, 3], rows are the cell vectors.
  std::array<double, 9> cell() const;

 private:
  /// An edge seen from its centre: the neighbour's node, then its shift; sortable as one integer.
  using Key = std::uint64_t;

  pet::Topology topology_;
  std::vector<int> atoms_;
  std::vector<int> types_;    // of local atoms
  std::vector<RemoteEdge> remote_;
  std::unordered_map<tagint, int> node_of_tag_;
  std::vector<std::pair<int, int>> images_;    // some of them: LAMMPS index, node
  std::vector<std::vector<Key>> rows_;    // [N] sorted edges of every node

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
