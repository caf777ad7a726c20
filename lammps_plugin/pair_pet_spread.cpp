// SPDX-License-Identifier: GPL-2.0-or-later
//
// The part of `pair_style pet` that knows how far the members of an ensemble are apart.

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
void PairPET::measure_force_spread()
{
  // never empty: a null pointer would tell `fix pair` that there is no such quantity
  force_spread_.assign(std::max(1, atom->nlocal), 0.0);
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
    force_spread_[i] = energy_unit_ *
        pet::force_spread(member_forces_.data() + static_cast<std::size_t>(i) * width, members);
  if (eflag_global || thresholds_.any()) find_largest_spread();
}

/// Compares the largest spread with the thresholds, before anything is done with the forces.
void PairPET::find_largest_spread()
{
  const auto largest = std::max_element(force_spread_.begin(), force_spread_.end());
  const auto place = largest - force_spread_.begin();
  struct {
    double spread;
    int rank;
  } mine{*largest, comm->me}, all{};
  MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  largest_spread_ = all.spread;
  tagint tag = place < atom->nlocal ? atom->tag[place] : 0;
  MPI_Bcast(&tag, 1, MPI_LMP_TAGINT, all.rank, world);

  const std::string found = fmt::format("pair_style pet: force spread of {:.4g} {} at atom {} in "
      "step {}", largest_spread_, energy_unit_ == 1.0 ? "eV/A" : "kcal/mol/A", tag,
      update->ntimestep);
  if (thresholds_.exceeds_stop(largest_spread_))
    error->all(FLERR, "{} is above stop {}: the members of the ensemble disagree; look at the last "
               "frames, or train on structures like them", found, thresholds_.stop);
  if (thresholds_.deserves_warning(largest_spread_) && comm->me == 0)
    error->warning(FLERR, "{} is above warn {}: the members of the ensemble disagree; the next "
                   "warning comes when it has doubled", found, thresholds_.warn);
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

/// For `fix pair`: the vector force_spread.
void *PairPET::extract_peratom(const char *name, int &columns)
{
  if (strcmp(name, "force_spread") != 0) return nullptr;
  columns = 0;
  return force_spread_.data();
}
