// SPDX-License-Identifier: BSD-3-Clause
//
// From positions to edges, and from gradients by edges to forces and virials.

#ifndef PET_EDGES_H
#define PET_EDGES_H

#include "archive.h"

#include <ATen/core/Tensor.h>

namespace pet {

/// The edges shorter than the cutoff.
struct Edges {
  at::Tensor vectors;                       // [E, 3]
  at::Tensor centers, neighbors, reverse;   // [E]
};

/// A topology on a device, with its edges at given positions.
///
/// On a CPU the kernels compute edges and forces, as they do for Python.  On a GPU, and without
/// kernels, torch computes them, with the operations of pet_driver/neighbors/edges.py.  The tests
/// compare all of them.
class EdgeList {
 public:
  EdgeList() = default;
  EdgeList(const Topology &topology, at::Device device, double cutoff, bool by_kernels);

  /// Number of nodes.
  std::int64_t nodes() const { return structures_.size(0); }

  /// The index of the structure of each node [N], which is zero.
  const at::Tensor &structures() const { return structures_; }

  /// Returns the edges at positions [N, 3] in a cell [3, 3] of row vectors.
  Edges find(const std::vector<double> &positions, const std::array<double, 9> &cell);

  /// Sets forces and, on request, virials from the gradients [E, 3] by edge vectors.
  void set_forces(const Edges &edges, const at::Tensor &gradients, const Request &request,
                  Evaluation &result) const;

 private:
  at::Device device_ = at::kCPU;
  double cutoff_ = 0.0;
  bool by_kernels_ = false;
  at::Tensor structures_, centers_, neighbors_, reverse_, shifts_;
  at::Tensor shift_vectors_;    // [E, 3] shifts times the cell below
  std::array<double, 9> shifted_cell_{};

  Edges find_by_kernels(const at::Tensor &positions) const;
  Edges find_by_torch(const at::Tensor &positions) const;
  void forces_by_kernels(const Edges &edges, const at::Tensor &gradients, Evaluation &result) const;
  void forces_by_torch(const Edges &edges, const at::Tensor &gradients, bool with_virial,
                       Evaluation &result) const;
  std::vector<double> atomic_virials(const Edges &edges, const at::Tensor &gradients) const;
};

}    // namespace pet

#endif
