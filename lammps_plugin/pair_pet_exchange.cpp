// SPDX-License-Identifier: GPL-2.0-or-later
//
// The decision of `pair_style pet` whether ranks exchange messages, and communication with ghosts.

#include "pair_pet.h"

#include "atom.h"
#include "comm.h"
#include "error.h"

#include <algorithm>
#include <utility>

using namespace LAMMPS_NS;

/// Decides whether ranks exchange messages.  All ranks must be able to: the processor of one may
/// not support the kernels.
bool PairPET::choose_exchange() const
{
  if (comm->nprocs == 1 || exchange_mode_ == pet::ExchangeMode::OFF) return false;
  const int mine = ensemble_->can_exchange();
  int all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, world);
  if (all == 0 && exchange_mode_ == pet::ExchangeMode::ON)
    error->all(FLERR, "pair_style pet: exchange on needs the kernels on every rank (device cpu), a "
               "fixed cutoff and a grid without local reference frames: use exchange auto");
  return all != 0;
}

/// Prints the additional cost of several ranks, for the edges including the skin: the number of
/// messages, or the ratio of computed edges to edges of local atoms.
void PairPET::print_rank_costs()
{
  if (comm->nprocs == 1) return;
  const pet::Topology &topology = graph_.topology();
  const auto own = std::count_if(topology.centers.begin(), topology.centers.end(),
                                 [&](std::int64_t center) { return topology.owned[center] != 0; });
  const double mine[3] = {static_cast<double>(own), static_cast<double>(topology.centers.size()),
                          static_cast<double>(graph_.remote().size())};
  double all[3] = {0.0, 0.0, 0.0};
  MPI_Reduce(mine, all, 3, MPI_DOUBLE, MPI_SUM, 0, world);
  if (comm->me != 0) return;
  if (exchanges_)
    utils::logmesg(lmp, "pair_style pet: {} ranks exchange messages, of {:.0f} among {:.0f} "
                   "edges\n", comm->nprocs, all[2], all[0]);
  else
    utils::logmesg(lmp, "pair_style pet: {} ranks compute {:.2f} times the edges of their atoms\n",
                   comm->nprocs, all[1] / std::max(1.0, all[0]));
}

/// Returns numbers of all atoms and ghosts, given those of local atoms; ghosts get the number of
/// their atom.  Local atoms without a number get `fill`.
std::vector<int> PairPET::copy_to_ghosts(std::vector<int> local, int fill)
{
  sent_ = std::move(local);
  sent_.resize(atom->nlocal + atom->nghost, fill);
  comm->forward_comm(this);
  return std::move(sent_);
}

int PairPET::pack_forward_comm(int n, int *list, double *buffer, int, int *)
{
  for (int k = 0; k < n; k++) buffer[k] = sent_[list[k]];
  return n;
}

void PairPET::unpack_forward_comm(int n, int first, double *buffer)
{
  std::transform(buffer, buffer + n, sent_.begin() + first,
                 [](double number) { return static_cast<int>(number); });
}
