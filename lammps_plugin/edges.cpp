// SPDX-License-Identifier: BSD-3-Clause

#include "edges.h"

#include "interface.h"
#include "tensors.h"

#include <ATen/Parallel.h>

#include <new>

namespace {

constexpr int VOIGT[6][2] = {{0, 0}, {1, 1}, {2, 2}, {0, 1}, {0, 2}, {1, 2}};

const std::int64_t *integers(const at::Tensor &tensor)
{
  return tensor.const_data_ptr<std::int64_t>();
}

/// Returns xx yy zz xy xz yz of a virial [3, 3].  The raw network is not exactly invariant under
/// rotations: its virial has a small antisymmetric part, which LAMMPS has no place for.
std::array<double, 6> symmetrized(const double *virial)
{
  std::array<double, 6> result;
  for (int k = 0; k < 6; k++) {
    const auto &[row, column] = VOIGT[k];
    result[k] = 0.5 * (virial[3 * row + column] + virial[3 * column + row]);
  }
  return result;
}

}    // namespace

pet::EdgeList::EdgeList(const Topology &topology, at::Device device, double cutoff, bool by_kernels)
    : device_(device), cutoff_(cutoff), by_kernels_(by_kernels)
{
  const auto nodes = static_cast<std::int64_t>(topology.numbers.size());
  const auto edges = static_cast<std::int64_t>(topology.centers.size());
  structures_ = at::zeros({nodes}, at::TensorOptions().dtype(at::kLong).device(device));
  centers_ = to_tensor(topology.centers, {edges}, at::kLong, device);
  neighbors_ = to_tensor(topology.neighbors, {edges}, at::kLong, device);
  reverse_ = to_tensor(topology.reverse, {edges}, at::kLong, device);
  shifts_ = to_tensor(topology.shifts, {edges, 3}, at::kDouble, device);
}

pet::Edges pet::EdgeList::find(const std::vector<double> &positions,
                               const std::array<double, 9> &cell)
{
  if (!shift_vectors_.defined() || cell != shifted_cell_) {
    shift_vectors_ = shifts_.matmul(as_rows(cell, device_));
    shifted_cell_ = cell;
  }
  const at::Tensor rows = as_rows(positions, device_);
  return by_kernels_ ? find_by_kernels(rows) : find_by_torch(rows);
}

pet::Edges pet::EdgeList::find_by_kernels(const at::Tensor &positions) const
{
  const std::int64_t pairs = centers_.size(0);
  const at::Tensor place = at::empty({pairs + 1}, centers_.options());
  const at::Tensor vectors = at::empty({pairs, 3}, positions.options());
  const at::Tensor found = at::empty({3, pairs}, centers_.options());
  auto *indices = found.mutable_data_ptr<std::int64_t>();
  if (pet_near(pairs, positions.const_data_ptr<double>(), integers(centers_), integers(neighbors_),
               integers(reverse_), shift_vectors_.const_data_ptr<double>(), cutoff_,
               at::get_num_threads(), place.mutable_data_ptr<std::int64_t>(),
               vectors.mutable_data_ptr<double>(), indices, indices + pairs, indices + 2 * pairs))
    throw std::bad_alloc();
  const std::int64_t count = integers(place)[pairs];
  const auto shortened = [&](const at::Tensor &tensor) { return tensor.narrow(0, 0, count); };
  return {shortened(vectors), shortened(found[0]), shortened(found[1]), shortened(found[2])};
}

pet::Edges pet::EdgeList::find_by_torch(const at::Tensor &positions) const
{
  at::Tensor vectors = positions.index_select(0, neighbors_);
  vectors.sub_(positions.index_select(0, centers_)).add_(shift_vectors_);
  // A product with ones is several times faster than a sum over so short an axis.
  const at::Tensor ones = at::ones({3}, vectors.options());
  at::Tensor near = vectors.mul(vectors).mv(ones) < cutoff_ * cutoff_;
  // Rounding may put the two directions of one pair on different sides of the cutoff.
  near = near.logical_and(near.index_select(0, reverse_));
  const at::Tensor kept = near.nonzero().squeeze(1);
  const at::Tensor place = near.cumsum(0, at::kLong) - 1;
  return {vectors.index_select(0, kept), centers_.index_select(0, kept),
          neighbors_.index_select(0, kept),
          place.index_select(0, reverse_.index_select(0, kept))};
}

void pet::EdgeList::set_forces(const Edges &edges, const at::Tensor &gradients,
                               const Request &request, Evaluation &result) const
{
  const at::Tensor by_vector = gradients.to(at::kDouble).contiguous();
  if (by_kernels_) forces_by_kernels(edges, by_vector, result);
  else forces_by_torch(edges, by_vector, request.virial, result);
  if (request.atomic_virials) result.atomic_virials = atomic_virials(edges, by_vector);
}

void pet::EdgeList::forces_by_kernels(const Edges &edges, const at::Tensor &gradients,
                                      Evaluation &result) const
{
  result.forces.resize(3 * nodes());
  double virial[9];
  if (pet_forces(nodes(), edges.centers.size(0), 1, integers(structures_), integers(edges.centers),
                 integers(edges.neighbors), integers(edges.reverse),
                 edges.vectors.const_data_ptr<double>(), gradients.const_data_ptr<double>(),
                 at::get_num_threads(), result.forces.data(), virial))
    throw std::bad_alloc();
  result.virial = symmetrized(virial);
}

void pet::EdgeList::forces_by_torch(const Edges &edges, const at::Tensor &gradients,
                                    bool with_virial, Evaluation &result) const
{
  const at::Tensor none = at::zeros({nodes(), 3}, gradients.options());
  // Two sums and a difference: torch is ten times slower with a factor of -1.
  result.forces = to_vector(none.index_add(0, edges.centers, gradients) -
                            none.index_add(0, edges.neighbors, gradients));
  if (with_virial)
    result.virial = symmetrized(to_vector(edges.vectors.t().matmul(gradients).neg()).data());
}

/// Returns the virials by atom [N, 6].
std::vector<double> pet::EdgeList::atomic_virials(const Edges &edges,
                                                  const at::Tensor &gradients) const
{
  std::vector<std::int64_t> rows, columns;
  for (const auto &[row, column] : VOIGT) rows.push_back(row), columns.push_back(column);
  const at::Tensor a = to_tensor(rows, {6}, at::kLong, device_);
  const at::Tensor b = to_tensor(columns, {6}, at::kLong, device_);
  const at::Tensor products = edges.vectors.index_select(1, a) * gradients.index_select(1, b) +
                              edges.vectors.index_select(1, b) * gradients.index_select(1, a);
  // Symmetrisation and the share of either atom are a factor of 1/2 each.
  const at::Tensor shares = -0.25 * products;
  at::Tensor virials = at::zeros({nodes(), 6}, gradients.options());
  virials.index_add_(0, edges.centers, shares).index_add_(0, edges.neighbors, shares);
  return to_vector(virials);
}
