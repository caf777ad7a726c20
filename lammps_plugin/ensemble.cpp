// SPDX-License-Identifier: BSD-3-Clause

#include "ensemble.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace {

void add(std::vector<double> &sum, const std::vector<double> &values)
{
  if (sum.empty()) sum.assign(values.size(), 0.0);
  for (std::size_t k = 0; k < values.size(); k++) sum[k] += values[k];
}

void divide(std::vector<double> &sum, double by)
{
  for (double &value : sum) value /= by;
}

}    // namespace

pet::Ensemble::Ensemble(const OpenOptions &options)
{
  for (const std::string &path : resolve_archives(options.name)) {
    OpenOptions one = options;
    one.name = path;
    members_.push_back(Archive::open(one));
  }
  metadata_ = members_[0]->metadata();
  for (std::size_t m = 1; m < members_.size(); m++) add_metadata(m);
}

/// Checks that a member fits to those before it, by the rules of pet_driver/model/ensemble.py.
void pet::Ensemble::add_metadata(std::size_t member)
{
  const Metadata &first = members_[0]->metadata(), &other = members_[member]->metadata();
  if (other.atomic_numbers != first.atomic_numbers)
    throw std::runtime_error("members of an ensemble must know the same elements: " + first.path +
                             " knows " + joined(first.symbols) + ", but " + other.path + " " +
                             joined(other.symbols) + "; leave one of them out");
  for (std::size_t k = 0; k < member; k++)
    if (other.identity == members_[k]->metadata().identity)
      throw std::runtime_error("members " + members_[k]->metadata().path + " and " + other.path +
                               " of an ensemble are one and the same model, and would never "
                               "differ; leave one of them out");
  if (other.grid != first.grid)
    throw std::runtime_error("the default grid of " + first.path + " is " + first.grid +
                             ", that of " + other.path + " is " + other.grid + ": choose one for "
                             "the ensemble with the keyword grid");
  metadata_.path += "+" + other.path;
  if (metadata_.note.empty()) metadata_.note = other.note;
  if (metadata_.dtype.find(other.dtype) == std::string::npos) metadata_.dtype += ", " + other.dtype;
  metadata_.cutoff = std::max(metadata_.cutoff, other.cutoff);
  metadata_.interaction_range = std::max(metadata_.interaction_range, other.interaction_range);
}

bool pet::Ensemble::can_exchange() const
{
  return std::all_of(members_.begin(), members_.end(),
                     [](const auto &member) { return member->can_exchange(); });
}

void pet::Ensemble::set_topology(const Topology &topology)
{
  for (auto &member : members_) member->set_topology(topology);
}

pet::Evaluation pet::Ensemble::evaluate(const std::vector<double> &positions,
                                        const std::array<double, 9> &cell, const Request &request,
                                        MemberResults &members)
{
  members = {};
  if (members_.size() == 1) return members_[0]->evaluate(positions, cell, request);
  const std::size_t count = members_.size();
  Evaluation mean;
  members.forces.resize(positions.size() * count);
  for (std::size_t m = 0; m < count; m++) {
    const Evaluation one = members_[m]->evaluate(positions, cell, request);
    members.energies.push_back(one.energy);
    for (std::size_t k = 0; k < positions.size(); k++)
      members.forces[3 * (k / 3 * count + m) + k % 3] = one.forces[k];
    mean.energy += one.energy / static_cast<double>(count);
    for (int k = 0; k < 6; k++) mean.virial[k] += one.virial[k] / static_cast<double>(count);
    add(mean.rotation_energies, one.rotation_energies);
    add(mean.atomic_energies, one.atomic_energies);
    add(mean.forces, one.forces);
    add(mean.atomic_virials, one.atomic_virials);
  }
  for (auto *values : {&mean.rotation_energies, &mean.atomic_energies, &mean.forces,
                       &mean.atomic_virials})
    divide(*values, static_cast<double>(count));
  return mean;
}

pet::Workload pet::Ensemble::workload(const std::vector<double> &positions,
                                      const std::array<double, 9> &cell)
{
  Workload all = members_[0]->workload(positions, cell);
  for (std::size_t m = 1; m < members_.size(); m++)
    all.edges += members_[m]->workload(positions, cell).edges;
  return all;
}

double pet::weighted_std(const std::vector<double> &values, const std::vector<double> &weights)
{
  double mean = 0.0, variance = 0.0;
  for (std::size_t k = 0; k < values.size(); k++) mean += weights[k] * values[k];
  for (std::size_t k = 0; k < values.size(); k++)
    variance += weights[k] * (values[k] - mean) * (values[k] - mean);
  return std::sqrt(std::max(0.0, variance));
}

double pet::force_std(const double *forces, int members)
{
  double sum = 0.0;
  for (int k = 0; k < 3; k++) {
    double mean = 0.0;
    for (int m = 0; m < members; m++) mean += forces[3 * m + k] / members;
    for (int m = 0; m < members; m++)
      sum += (forces[3 * m + k] - mean) * (forces[3 * m + k] - mean);
  }
  return std::sqrt(sum / members);
}

std::string pet::joined(const std::vector<std::string> &words)
{
  std::string text;
  for (const auto &word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

bool pet::Thresholds::deserves_warning(double largest)
{
  if (warn <= 0.0 || largest <= std::max(warn, next_warning_)) return false;
  next_warning_ = 2.0 * largest;
  return true;
}
