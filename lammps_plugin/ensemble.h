// SPDX-License-Identifier: BSD-3-Clause
//
// Several archives as one potential: their mean and their standard deviation.
//
// Names neither torch nor LAMMPS.  A single archive is an ensemble of one, at no extra cost.

#ifndef PET_ENSEMBLE_H
#define PET_ENSEMBLE_H

#include "archive.h"

#include <memory>
#include <string>
#include <vector>

namespace pet {

/// Results of the single members; empty for an ensemble of one.
struct MemberResults {
  std::vector<double> energies;    // [M] sum over owned atoms
  std::vector<double> forces;      // [N, M, 3]
};

class Ensemble {
 public:
  /// Opens all archives of `options.name`, which may be several names: "a.pt+b.pt".  Throws
  /// std::runtime_error if one cannot be opened or if they do not fit together.
  explicit Ensemble(const OpenOptions &options);

  int size() const { return static_cast<int>(members_.size()); }

  /// Returns properties of the ensemble: the largest cutoff and interaction range, and the paths
  /// and precisions of all members.
  const Metadata &metadata() const { return metadata_; }

  const std::vector<double> &weights(bool raw) const { return members_[0]->weights(raw); }

  /// Returns whether every member allows a topology with an exchange.
  bool can_exchange() const;

  /// Sets one graph for all members, with the edges of the largest cutoff.  Members with a shorter
  /// cutoff drop the longer edges.
  void set_topology(const Topology &topology);

  /// Returns the mean of the members; `members` receives the results of each.
  Evaluation evaluate(const std::vector<double> &positions, const std::array<double, 9> &cell,
                      const Request &request, MemberResults &members);

  /// Returns the edges of all members, and the frames and raw edges of the first one.
  Workload workload(const std::vector<double> &positions, const std::array<double, 9> &cell);

 private:
  std::vector<std::unique_ptr<Archive>> members_;
  Metadata metadata_;

  void add_metadata(std::size_t member);
};

/// Returns the standard deviation of values with weights that add up to one.
double weighted_std(const std::vector<double> &values, const std::vector<double> &weights);

/// Returns the force standard deviation of one atom: the root mean square deviation of M vectors
/// forces[M, 3] from their mean.
double force_std(const double *forces, int members);

/// Joins words with commas.
std::string joined(const std::vector<std::string> &words);

/// Thresholds for the largest force standard deviation, as in pet_driver/engines/thresholds.py.
class Thresholds {
 public:
  double warn = 0.0;    // in the force units of the input; zero: never
  double stop = 0.0;

  bool any() const { return warn > 0.0 || stop > 0.0; }
  bool exceeds_stop(double largest) const { return stop > 0.0 && !(largest <= stop); }

  /// Returns true when `warn` is exceeded for the first time, and then each time that the value is
  /// more than twice that of the last warning.
  bool deserves_warning(double largest);

 private:
  double next_warning_ = 0.0;
};

}    // namespace pet

#endif
