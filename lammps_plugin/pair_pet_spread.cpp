// SPDX-License-Identifier: GPL-2.0-or-later
//
// The part of `pair_style pet` that knows how far the members of an ensemble, and the energies under
// the rotations of a grid, are apart.

#include "pair_pet.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "update.h"

#include <algorithm>
#include <cstring>
#include <string>

using namespace LAMMPS_NS;

/// An atom's force is known where those on its ghosts have come home, for every member.
void PairPET::measure_force_std()
{
  // never empty: a null pointer would tell `fix pair` that there is no such quantity
  force_std_.assign(std::max(1, atom->nlocal), 0.0);
  const int members = ensemble_->size();
  if (members == 1) return;
  const std::vector<int> &atoms = graph_.atoms();
  const int width = 3 * members;
  member_forces_.assign(static_cast<std::size_t>(atom->nlocal + atom->nghost) * width, 0.0);
  for (std::size_t node = 0; node < atoms.size(); node++) {
    const double *one = apart_.forces.data() + node * width;
    double *sum = member_forces_.data() + static_cast<std::size_t>(atoms[node]) * width;
    for (int k = 0; k < width; k++) sum[k] += one[k];    // an atom may be several nodes
  }
  comm->reverse_comm(this);
  for (int i = 0; i < atom->nlocal; i++)
    force_std_[i] = energy_unit_ *
        pet::force_std(member_forces_.data() + static_cast<std::size_t>(i) * width, members);
  if (eflag_global || thresholds_.any()) find_largest_spread();
}

/// Compares the largest spread with the thresholds, before anything is done with the forces.
void PairPET::find_largest_spread()
{
  const auto largest = std::max_element(force_std_.begin(), force_std_.end());
  const auto place = largest - force_std_.begin();
  struct {
    double spread;
    int rank;
  } mine{*largest, comm->me}, all{};
  MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  largest_spread_ = all.spread;
  tagint tag = place < atom->nlocal ? atom->tag[place] : 0;
  MPI_Bcast(&tag, 1, MPI_LMP_TAGINT, all.rank, world);

  const std::string found = fmt::format("pair_style pet: force standard deviation of {:.4g} {} at atom {} in "
      "step {}", largest_spread_, energy_unit_ == 1.0 ? "eV/A" : "kcal/mol/A", tag,
      update->ntimestep);
  if (thresholds_.exceeds_stop(largest_spread_))
    error->all(FLERR, "{} is above stop {}: the members of the ensemble disagree; look at the last "
               "frames, or train on structures like them", found, thresholds_.stop);
  if (thresholds_.deserves_warning(largest_spread_) && comm->me == 0)
    error->warning(FLERR, "{} is above warn {}: the members of the ensemble disagree; the next "
                   "warning comes when it has doubled", found, thresholds_.warn);
}

/// Fills pvector.  `compute pair` sums over ranks, so the first rank holds the totals.
void PairPET::summarize(const pet::Evaluation &result)
{
  const std::vector<double> energies =
      sum_over_ranks(result.rotation_energies, ensemble_->weights(true).size());
  pvector[0] = energy_unit_ * energies[0];
  pvector[1] = energy_unit_ * pet::spread(energies, ensemble_->weights(true));
  const std::vector<double> weights(ensemble_->size(), 1.0 / ensemble_->size());
  pvector[2] = energy_unit_ * pet::spread(sum_over_ranks(apart_.energies, weights.size()), weights);
  pvector[3] = largest_spread_;
  if (comm->me != 0) std::fill_n(pvector, nextra, 0.0);
}

/// An empty domain has no values of its own.
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

/// For `fix pair`: the vector force_std.
void *PairPET::extract_peratom(const char *name, int &columns)
{
  if (strcmp(name, "force_std") != 0) return nullptr;
  columns = 0;
  return force_std_.data();
}
