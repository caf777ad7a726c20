// SPDX-License-Identifier: GPL-2.0-or-later

#include "graph.h"

#include "atom.h"
#include "domain.h"
#include "neigh_list.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

using namespace LAMMPS_NS;

namespace {

// Layout of a Key: node (40 bits), then three shifts (8 bits each, biased to stay positive).
constexpr int SHIFT_BITS = 8;
constexpr int SHIFT_BIAS = 128;
constexpr int SHIFT_MAX = SHIFT_BIAS - 1;

constexpr std::size_t IMAGES_CHECKED = 64;
constexpr double FRACTION_TOLERANCE = 1e-8;    // deviation from an integer number of cell vectors

std::uint64_t pack(int node, const std::array<int, 3> &shift)
{
  auto key = static_cast<std::uint64_t>(node);
  for (const int component : shift)
    key = (key << SHIFT_BITS) | static_cast<std::uint64_t>(component + SHIFT_BIAS);
  return key;
}

int node_of(std::uint64_t key) { return static_cast<int>(key >> (3 * SHIFT_BITS)); }

std::array<int, 3> shift_of(std::uint64_t key)
{
  constexpr int mask = (1 << SHIFT_BITS) - 1;
  return {static_cast<int>((key >> (2 * SHIFT_BITS)) & mask) - SHIFT_BIAS,
          static_cast<int>((key >> SHIFT_BITS) & mask) - SHIFT_BIAS,
          static_cast<int>(key & mask) - SHIFT_BIAS};
}

/// Returns the key of the reverse of edge `key` of `node`.
std::uint64_t reversed(int node, std::uint64_t key)
{
  const auto s = shift_of(key);
  return pack(node, {-s[0], -s[1], -s[2]});
}

/// Keeps `number` values, or a few more, at regular intervals.
template <typename Value> void thin_out(std::vector<Value> &values, std::size_t number)
{
  const std::size_t stride = std::max<std::size_t>(1, values.size() / number);
  std::size_t kept = 0;
  for (std::size_t k = 0; k < values.size(); k += stride) values[kept++] = values[k];
  values.resize(kept);
}

}    // namespace

void PETGraph::rebuild(const NeighList *list, const std::vector<int> &numbers, double cutoff,
                       double reach)
{
  find_owned(numbers);
  const std::size_t owned = atoms_.size();
  if (owned > 0) add_nearest_ghosts(numbers, reach);    // an empty domain computes nothing
  find_edges(list, cutoff);
  close_under_reversal();
  flatten();
  label_nodes(numbers, owned);
}

void PETGraph::rebuild_local(const NeighList *list, const std::vector<int> &numbers, double cutoff,
                             pet::Exchange *exchange)
{
  find_owned(numbers);
  const std::size_t owned = atoms_.size();
  find_edges(list, cutoff);
  close_under_reversal();
  add_remote_edges(list, numbers, cutoff);
  flatten();
  label_nodes(numbers, owned);
  topology_.exchange = exchange;
}

void PETGraph::find_owned(const std::vector<int> &numbers)
{
  topology_ = {};
  remote_.clear();
  images_.clear();
  atoms_.clear();
  node_of_tag_.clear();
  types_.assign(atom->type, atom->type + atom->nlocal);
  for (int i = 0; i < atom->nlocal; i++) {
    if (numbers[atom->type[i]] == 0) continue;
    node_of_tag_.emplace(atom->tag[i], static_cast<int>(atoms_.size()));
    atoms_.push_back(i);
  }
}

void PETGraph::label_nodes(const std::vector<int> &numbers, std::size_t owned)
{
  for (const int i : atoms_) topology_.numbers.push_back(numbers[atom->type[i]]);
  topology_.owned.assign(atoms_.size(), 0);
  std::fill_n(topology_.owned.begin(), owned, 1);
}

void PETGraph::add_nearest_ghosts(const std::vector<int> &numbers, double reach)
{
  // The box around the local atoms, in terms of heights above the faces of the cell.
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::array<double, 3> low{infinity, infinity, infinity};
  std::array<double, 3> high{-infinity, -infinity, -infinity};
  for (const int i : atoms_) {
    const auto h = heights(atom->x[i]);
    for (int k = 0; k < 3; k++) {
      low[k] = std::min(low[k], h[k]);
      high[k] = std::max(high[k], h[k]);
    }
  }
  const auto distance = [&](int ghost) {
    const auto h = heights(atom->x[ghost]);
    double largest = 0.0, square = 0.0;
    for (int k = 0; k < 3; k++) {
      const double d = std::max({0.0, low[k] - h[k], h[k] - high[k]});
      largest = std::max(largest, d);
      square += d * d;
    }
    // In a triclinic cell the heights are not orthogonal; the largest is a lower bound.
    return domain->triclinic ? largest : std::sqrt(square);
  };

  struct Candidate {
    int atom;
    double distance;
  };
  std::vector<Candidate> nearest;
  for (int i = atom->nlocal; i < atom->nlocal + atom->nghost; i++) {
    if (numbers[atom->type[i]] == 0) continue;
    const auto known = node_of_tag_.find(atom->tag[i]);
    const int locals = static_cast<int>(atoms_.size());
    if (known != node_of_tag_.end() && known->second < locals) continue;
    const double d = distance(i);
    if (d > reach) continue;
    if (known == node_of_tag_.end()) {
      node_of_tag_.emplace(atom->tag[i], locals + static_cast<int>(nearest.size()));
      nearest.push_back({i, d});
    } else if (d < nearest[known->second - locals].distance) {
      nearest[known->second - locals] = {i, d};
    }
  }
  for (const auto &candidate : nearest) atoms_.push_back(candidate.atom);
}

void PETGraph::find_edges(const NeighList *list, double cutoff)
{
  const int all = atom->nlocal + atom->nghost;
  std::vector<int> node_of_atom(all, -1);
  std::vector<std::array<int, 3>> shift_of_atom(all, {0, 0, 0});
  for (int i = 0; i < all; i++) {
    const auto known = node_of_tag_.find(atom->tag[i]);
    if (known == node_of_tag_.end()) continue;
    node_of_atom[i] = known->second;
    if (atoms_[known->second] == i) continue;
    shift_of_atom[i] = shift(i, known->second);
    images_.emplace_back(i, known->second);
  }
  thin_out(images_, IMAGES_CHECKED);

  // On several ranks the list holds the neighbours of ghosts too, after those of local atoms.
  std::vector<char> listed(all, 0);
  const int rows = list->inum + (list->ghost ? list->gnum : 0);
  for (int k = 0; k < rows; k++) listed[list->ilist[k]] = 1;

  rows_.assign(atoms_.size(), {});
  for (std::size_t node = 0; node < atoms_.size(); node++) {
    const int i = atoms_[node];
    if (!listed[i]) continue;
    const double *xi = atom->x[i];
    auto &row = rows_[node];
    row.reserve(list->numneigh[i]);
    for (int k = 0; k < list->numneigh[i]; k++) {
      const int j = list->firstneigh[i][k] & NEIGHMASK;
      if (node_of_atom[j] < 0) continue;
      const double *xj = atom->x[j];
      const double dx = xj[0] - xi[0], dy = xj[1] - xi[1], dz = xj[2] - xi[2];
      if (dx * dx + dy * dy + dz * dz > cutoff * cutoff) continue;
      row.push_back(pack(node_of_atom[j], shift_of_atom[j]));
    }
    std::sort(row.begin(), row.end());
  }
}

/// Adds edges to atoms of other ranks, each with a node of its own after all other nodes.
void PETGraph::add_remote_edges(const NeighList *list, const std::vector<int> &numbers,
                                double cutoff)
{
  for (std::size_t node = 0; node < rows_.size(); node++) {
    const int i = atoms_[node];
    const double *xi = atom->x[i];
    for (int k = 0; k < list->numneigh[i]; k++) {
      const int j = list->firstneigh[i][k] & NEIGHMASK;
      if (numbers[atom->type[j]] == 0 || node_of_tag_.count(atom->tag[j]) > 0) continue;
      const double *xj = atom->x[j];
      const std::array<double, 3> d{xj[0] - xi[0], xj[1] - xi[1], xj[2] - xi[2]};
      if (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] > cutoff * cutoff) continue;
      rows_[node].push_back(pack(static_cast<int>(atoms_.size()), {0, 0, 0}));
      atoms_.push_back(j);
      remote_.push_back({atom->tag[i], atom->tag[j], d, j});
    }
  }
}

/// Adds missing reverse edges.  At the outer end of the ghost shell, the image that would give one
/// may be outside; by periodicity the edge exists nevertheless.
void PETGraph::close_under_reversal()
{
  std::vector<std::pair<int, Key>> missing;
  for (std::size_t node = 0; node < rows_.size(); node++)
    for (const Key key : rows_[node]) {
      const Key back = reversed(static_cast<int>(node), key);
      if (!has_edge(node_of(key), back)) missing.emplace_back(node_of(key), back);
    }
  std::vector<int> changed;
  for (const auto &[node, key] : missing) {
    rows_[node].push_back(key);
    changed.push_back(node);
  }
  std::sort(changed.begin(), changed.end());
  changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  for (const int node : changed) std::sort(rows_[node].begin(), rows_[node].end());
}

void PETGraph::flatten()
{
  std::vector<std::int64_t> offsets(rows_.size() + 1, 0);
  for (std::size_t node = 0; node < rows_.size(); node++)
    offsets[node + 1] = offsets[node] + static_cast<std::int64_t>(rows_[node].size());
  const auto edges = static_cast<std::size_t>(offsets.back());
  topology_.centers.reserve(edges);
  topology_.neighbors.reserve(edges);
  topology_.reverse.reserve(edges);
  topology_.shifts.reserve(3 * edges);
  for (std::size_t node = 0; node < rows_.size(); node++)
    for (const Key key : rows_[node]) {
      const int other = node_of(key);
      topology_.reverse.push_back(static_cast<std::int64_t>(topology_.centers.size()));
      topology_.centers.push_back(static_cast<std::int64_t>(node));
      topology_.neighbors.push_back(other);
      for (const int component : shift_of(key)) topology_.shifts.push_back(component);
      if (other >= static_cast<int>(rows_.size())) continue;    // remote
      const auto &row = rows_[other];
      const auto place = std::lower_bound(row.begin(), row.end(),
                                          reversed(static_cast<int>(node), key));
      topology_.reverse.back() = offsets[other] + (place - row.begin());
    }
}

bool PETGraph::has_edge(int node, Key key) const
{
  return std::binary_search(rows_[node].begin(), rows_[node].end(), key);
}

/// Returns the numbers of cell vectors from the atom of a node to one of its images.
std::array<int, 3> PETGraph::shift(int image, int node) const
{
  const double *x = atom->x[image], *origin = atom->x[atoms_[node]], *inverse = domain->h_inv;
  const double d[3] = {x[0] - origin[0], x[1] - origin[1], x[2] - origin[2]};
  const double fractions[3] = {inverse[0] * d[0] + inverse[5] * d[1] + inverse[4] * d[2],
                               inverse[1] * d[1] + inverse[3] * d[2], inverse[2] * d[2]};
  std::array<int, 3> whole{};
  for (int k = 0; k < 3; k++) {
    const double rounded = std::round(fractions[k]);
    if (std::abs(fractions[k] - rounded) > FRACTION_TOLERANCE)
      throw std::runtime_error("two atoms have the ID " + std::to_string(atom->tag[image]) +
                               ", but are not periodic images of each other: give every atom its "
                               "own ID (reset_atoms id). Styles that strain atoms without the "
                               "cell, such as fix numdiff/virial and compute born/matrix numdiff, "
                               "do not work with PET: take the virial from compute pressure, and "
                               "strain with change_box");
    if (std::abs(rounded) > SHIFT_MAX)
      throw std::runtime_error("the cell is too small: an edge would cross more than " +
                               std::to_string(SHIFT_MAX) + " of its images; replicate it");
    whole[k] = static_cast<int>(rounded);
  }
  return whole;
}

bool PETGraph::types_changed() const
{
  return !std::equal(types_.begin(), types_.end(), atom->type, atom->type + atom->nlocal);
}

void PETGraph::check_types(const std::vector<int> &numbers) const
{
  for (std::size_t i = 0; i < types_.size(); i++)
    if ((numbers[types_[i]] == 0) != (numbers[atom->type[i]] == 0))
      throw std::runtime_error("atom " + std::to_string(atom->tag[i]) + " changed between types "
                               "with and without an element (NULL), and the current neighbour list "
                               "lacks its pairs: use `neigh_modify every 1 delay 0 check no`");
}

void PETGraph::check_images() const
{
  for (const auto &[image, node] : images_) shift(image, node);
}

/// Returns the heights of a point above the three faces of the cell that meet in the origin.
std::array<double, 3> PETGraph::heights(const double *position) const
{
  if (!domain->triclinic) return {position[0], position[1], position[2]};
  const double *inverse = domain->h_inv;
  const double rows[3][3] = {{inverse[0], inverse[5], inverse[4]},
                             {0.0, inverse[1], inverse[3]},
                             {0.0, 0.0, inverse[2]}};
  std::array<double, 3> result{};
  for (int k = 0; k < 3; k++) {
    const double *row = rows[k];
    const double length = std::sqrt(row[0] * row[0] + row[1] * row[1] + row[2] * row[2]);
    result[k] = (row[0] * position[0] + row[1] * position[1] + row[2] * position[2]) / length;
  }
  return result;
}

std::vector<double> PETGraph::positions() const
{
  std::vector<double> positions(3 * atoms_.size());
  for (std::size_t node = 0; node < atoms_.size(); node++)
    std::copy_n(atom->x[atoms_[node]], 3, positions.begin() + static_cast<long>(3 * node));
  return positions;
}

std::array<double, 9> PETGraph::cell() const
{
  const double *h = domain->h;    // xx yy zz yz xz xy
  return {h[0], 0.0, 0.0, h[5], h[1], 0.0, h[4], h[3], h[2]};
}
