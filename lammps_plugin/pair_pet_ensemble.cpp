// SPDX-License-Identifier: GPL-2.0-or-later
//
// Standard deviations in `pair_style pet`: over the members of an ensemble and over rotations.

#include "pair_pet.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "update.h"

#include <algorithm>
#include <cstring>
#include <string>

using namespace LAMMPS_NS;

/// Computes the force standard deviation of local atoms, after reverse communication has added the
/// forces on ghosts for every member.
void PairPET::measure_force_std()
{
  // Never empty: a null pointer would mean to `fix pair` that the quantity does not exist.
  force_std_.assign(std::max(1, atom->nlocal), 0.0);
  const int members = ensemble_->size();
  if (members == 1) return;
  const std::vector<int> &atoms = graph_.atoms();
  const int width = 3 * members;
  member_forces_.assign(static_cast<std::size_t>(atom->nlocal + atom->nghost) * width, 0.0);
  for (std::size_t node = 0; node < atoms.size(); node++) {
    const double *one = member_results_.forces.data() + node * width;
    double *sum = member_forces_.data() + static_cast<std::size_t>(atoms[node]) * width;
    for (int k = 0; k < width; k++) sum[k] += one[k];    // an atom may be several nodes
  }
  comm->reverse_comm(this);
  for (int i = 0; i < atom->nlocal; i++)
    force_std_[i] = energy_unit_ *
        pet::force_std(member_forces_.data() + static_cast<std::size_t>(i) * width, members);
  if (eflag_global || thresholds_.any()) check_largest_force_std();
}

/// Compares the largest force standard deviation with the thresholds, before LAMMPS uses the
/// forces.
void PairPET::check_largest_force_std()
{
  const auto largest = std::max_element(force_std_.begin(), force_std_.end());
  const auto place = largest - force_std_.begin();
  struct {
    double value;
    int rank;
  } mine{*largest, comm->me}, all{};
  MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  largest_force_std_ = all.value;
  tagint tag = place < atom->nlocal ? atom->tag[place] : 0;
  MPI_Bcast(&tag, 1, MPI_LMP_TAGINT, all.rank, world);

  const std::string found = fmt::format(
      "pair_style pet: force standard deviation of {:.4g} {} at atom {} in step {}",
      largest_force_std_, energy_unit_ == 1.0 ? "eV/A" : "kcal/mol/A", tag, update->ntimestep);
  if (thresholds_.exceeds_stop(largest_force_std_))
    error->all(FLERR, "{} is above stop {}: the members of the ensemble disagree; look at the last "
               "frames of the trajectory, or train on structures like them", found,
               thresholds_.stop);
  if (thresholds_.deserves_warning(largest_force_std_) && comm->me == 0)
    error->warning(FLERR, "{} is above warn {}: the members of the ensemble disagree; the next "
                   "warning comes when it has doubled", found, thresholds_.warn);
}

/// Fills pvector.  `compute pair` sums over ranks, so the first rank holds the totals.
void PairPET::summarize(const pet::Evaluation &result)
{
  const std::vector<double> energies =
      sum_over_ranks(result.rotation_energies, ensemble_->weights(true).size());
  pvector[0] = energy_unit_ * energies[0];
  pvector[1] = energy_unit_ * pet::weighted_std(energies, ensemble_->weights(true));
  const std::vector<double> weights(ensemble_->size(), 1.0 / ensemble_->size());
  const std::vector<double> of_members = sum_over_ranks(member_results_.energies, weights.size());
  pvector[2] = energy_unit_ * pet::weighted_std(of_members, weights);
  pvector[3] = largest_force_std_;
  if (comm->me != 0) std::fill_n(pvector, nextra, 0.0);
}

/// Adds up vectors of length `size`.  A rank without atoms has an empty vector, which counts as
/// zero.
std::vector<double> PairPET::sum_over_ranks(std::vector<double> mine, std::size_t size) const
{
  std::vector<double> sums(size, 0.0);
  mine.resize(size, 0.0);
  MPI_Allreduce(mine.data(), sums.data(), static_cast<int>(size), MPI_DOUBLE, MPI_SUM, world);
  return sums;
}

int PairPET::pack_reverse_comm(int n, int first, double *buffer)
{
  const std::size_t width = comm_reverse;
  std::copy_n(member_forces_.data() + first * width, n * width, buffer);
  return n * comm_reverse;
}

void PairPET::unpack_reverse_comm(int n, int *list, double *buffer)
{
  const std::size_t width = comm_reverse;
  for (int i = 0; i < n; i++)
    for (std::size_t k = 0; k < width; k++) member_forces_[list[i] * width + k] += *buffer++;
}

/// Returns the vector `force_std` by atom for `fix pair`.
void *PairPET::extract_peratom(const char *name, int &columns)
{
  if (strcmp(name, "force_std") != 0) return nullptr;
  columns = 0;
  return force_std_.data();
}
