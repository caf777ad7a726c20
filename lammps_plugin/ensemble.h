// Several archives as one potential: their mean, and how far they are apart.
//
// Names neither torch nor LAMMPS.  A single archive is an ensemble of one, at no extra cost.

#ifndef PET_ENSEMBLE_H
#define PET_ENSEMBLE_H

#include "archive.h"

#include <memory>
#include <string>
#include <vector>

namespace pet {

/// What the members say one by one, beside their mean; empty for an ensemble of one.
struct MemberEvaluations {
  std::vector<double> energies;    // [M] sum over owned atoms
  std::vector<double> forces;      // [N, M, 3]
};

class Ensemble {
 public:
  /// Opens all archives of `options.name`, which may be several names: "a.pt+b.pt".  Throws
  /// std::runtime_error where one cannot be opened, or they do not fit together.
  explicit Ensemble(const OpenOptions &options);

  int size() const { return static_cast<int>(members_.size()); }

  /// What holds for the ensemble: the largest cutoff and range; path and dtype name all of them.
  const Card &card() const { return card_; }

  const std::vector<double> &weights(bool raw) const { return members_[0]->weights(raw); }

  /// Whether a topology may have an exchange: it may if it may for every archive.
  bool can_exchange() const;

  /// One graph for all, with the edges of the largest cutoff: each archive drops its longer ones.
  void set_topology(const Topology &topology);

  /// The mean of the members; `apart` receives what each of them says.
  Evaluation evaluate(const std::vector<double> &positions, const std::array<double, 9> &cell,
                      const Request &request, MemberEvaluations &apart);

  /// Edges of all members, frames and raw edges of the first.
  Workload workload(const std::vector<double> &positions, const std::array<double, 9> &cell);

 private:
  std::vector<std::unique_ptr<Archive>> members_;
  Card card_;

  void join_cards();
};

/// Standard deviation of values with weights that sum to one.
double spread(const std::vector<double> &values, const std::vector<double> &weights);

/// Root mean square distance from their mean of the M vectors in forces[0 .. 3 M].
double force_std(const double *forces, int members);

/// Words with commas between.
std::string joined(const std::vector<std::string> &words);

/// When the largest force standard deviation is worth a warning, or the end.
class Thresholds {
 public:
  double warn = 0.0;    // in the units of the input; zero: never
  double stop = 0.0;

  bool any() const { return warn > 0.0 || stop > 0.0; }
  bool exceeds_stop(double largest) const { return stop > 0.0 && largest > stop; }

  /// True the first time that `warn` is exceeded, and again each time that the largest spread has
  /// doubled since it was true.
  bool deserves_warning(double largest);

 private:
  double next_warning_ = 0.0;
};

}    // namespace pet

#endif
