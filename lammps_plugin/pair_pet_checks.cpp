// SPDX-License-Identifier: GPL-2.0-or-later
//
// Checks of `pair_style pet`, and errors that stop all ranks with one message.

#include "pair_pet.h"

#include "elements.h"
#include "lammps_compatibility.h"

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "modify.h"
#include "neighbor.h"
#include "update.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <thread>

using namespace LAMMPS_NS;

namespace {

constexpr double SAME_MASS = 0.03;    // amu; closer is the mass of that element
constexpr double ODD_MASS = 0.4;      // deviation from an atomic weight, as a fraction of the mass
constexpr double MASS_DIGITS = 0.02;  // amu; an element must fit better by more than this
constexpr std::chrono::milliseconds FORWARDING{300};    // time that a launcher needs for a message

bool all_finite(const std::vector<double> &values)
{
  return std::all_of(values.begin(), values.end(),
                     [](double value) { return std::isfinite(value); });
}

}    // namespace

void PairPET::check_environment() const
{
  if (numbers_.empty()) error->all(FLERR, "pair_style pet has no elements: give pair_coeff again");
  if (!atom->tag_enable)
    error->all(FLERR, "pair_style pet needs atom IDs: remove `atom_modify id no`");
  if (!force->newton_pair)
    error->all(FLERR, "pair_style pet adds forces on ghosts to their atoms: use `newton on`");
  if (domain->dimension != 3) error->all(FLERR, "pair_style pet needs `dimension 3`");
  if (comm->mode != Comm::SINGLE)
    error->all(FLERR, "pair_style pet needs one ghost cutoff: use `comm_modify mode single`");
  if (BorderGroup::of(*comm) != 0)
    error->all(FLERR, "pair_style pet needs all ghosts: remove `comm_modify group`");
}

/// Stops if there is no archive, as after a pair_style command that failed.
void PairPET::require_ensemble() const
{
  if (!ensemble_) error->all(FLERR, "pair_style pet has no archive: give pair_style again");
}

/// Warns of settings that are probably mistakes.
void PairPET::warn_of_doubtful_input() const
{
  if (comm->me != 0) return;
  if (update->whichflag == 2 && ensemble_->metadata().grid.find("random") != std::string::npos)
    error->warning(FLERR, "pair_style pet: a minimizer stops early if random rotations change the "
                   "energy with every evaluation: choose a grid without random rotations");
}

/// Stops if the mass of a type is closer to that of another element of the archive.  Warns if it is
/// that of an element that the archive does not know, or far from that of the given one.
void PairPET::check_masses() const
{
  if (mass_check_ == pet::MassCheck::FREE || atom->mass == nullptr) return;
  for (int type = 1; type <= atom->ntypes; type++) {
    if (numbers_[type] == 0 || !atom->mass_setflag[type]) continue;
    const double mass = atom->mass[type];
    const std::string given = elements[map[type]];
    const double deviation = pet::mass_deviation(mass, given);
    const auto fits_better = [&](const std::string &other) {
      return pet::mass_deviation(mass, other) + MASS_DIGITS < deviation;
    };
    const std::string known = pet::nearest_element(mass, ensemble_->metadata().symbols);
    if (fits_better(known))
      error->all(FLERR, "pair_style pet: type {} of mass {:g} is {} by pair_coeff, but its mass is "
                 "closer to that of {}: give the elements in the order of the atom types, or "
                 "correct the mass; if you mean it, add `masses free` to pair_style pet", type,
                 mass, given, known);
    const std::string any = pet::nearest_element(mass, pet::all_symbols());
    const bool is_other = pet::mass_deviation(mass, any) < SAME_MASS;
    if (comm->me == 0 && fits_better(any) && (is_other || deviation > ODD_MASS * mass))
      error->warning(FLERR, "pair_style pet: type {} of mass {:g} is {} by pair_coeff, but its "
                     "mass is closest to that of {}, which {} does not know; if you mean it, add "
                     "`masses free` to pair_style pet", type, mass, given, any,
                     ensemble_->metadata().path);
  }
}

/// Stops if a compute would be wrong: some use virials or forces of single pairs of atoms, which a
/// message-passing network does not have.
void PairPET::check_computes() const
{
  for (const Compute *compute : modify->get_compute_list()) {
    const std::string style = compute->style;
    if (utils::strmatch(style, "/tally"))
      error->all(FLERR, "pair_style pet: compute {} of style {} adds up energies and forces of "
                 "pairs of atoms, which PET does not have: remove it", compute->id, style);
    if (utils::strmatch(style, "^heat/flux"))
      error->all(FLERR, "pair_style pet: compute {} of style {} would be wrong: its formula with "
                 "virials per atom holds for pair potentials, and PET passes messages between "
                 "atoms; pet-driver has no heat flux yet: remove the compute", compute->id, style);
  }
}

/// Stops if the neighbour list lacks pairs.  This is known after the setup only: fixes may exclude
/// pairs, and other styles may compute them.
void PairPET::check_pairs() const
{
  const int exclusions = neighbor->nex_type + neighbor->nex_group + neighbor->nex_mol;
  if (neighbor->includegroup || exclusions > 0)
    error->all(FLERR, "pair_style pet needs every pair within its cutoff: remove `neigh_modify "
               "include` and `neigh_modify exclude`, and fixes that exclude atoms, such as gcmc");
  const auto mapped = std::count_if(numbers_.begin(), numbers_.end(), [](int z) { return z > 0; });
  if (pairs_ < mapped * (mapped + 1) / 2)
    error->all(FLERR, "pair_style pet needs all pairs of its types: a later pair_coeff gives some "
               "of them to another style; use `hybrid/overlay` to have both");
}

/// Stops if the special lists keep pairs of bonded atoms out of the neighbour list.  They change
/// during a run (fix bond/create), and outlive their bonds (delete_bonds without special).
void PairPET::check_special_lists() const
{
  // LAMMPS keeps pairs of bonded atoms with weight zero if an electrostatic style needs them.
  const int *flags = neighbor->special_flag;
  if (atom->molecular == Atom::ATOMIC ||
      std::none_of(flags + 1, flags + 4, [](int flag) { return flag == 0; }))
    return;
  const int mine = has_excluded_bonded_pair();
  int any = 0;
  MPI_Allreduce(&mine, &any, 1, MPI_INT, MPI_MAX, world);
  if (any != 0)
    error->all(FLERR, "pair_style pet needs the pairs of bonded atoms, which LAMMPS leaves out: "
               "use `special_bonds lj/coul 1.0 1.0 1.0`, or 1e-50 instead of 0 if another style "
               "has to leave them out, or data without bonds (after delete_bonds, its keyword "
               "special clears the lists of these pairs)");
}

/// Returns whether a special list of a local atom contains an excluded pair of two elements.
bool PairPET::has_excluded_bonded_pair() const
{
  if (atom->molecular == Atom::TEMPLATE) return true;    // the lists belong to the templates
  for (int i = 0; i < atom->nlocal; i++) {
    if (numbers_[atom->type[i]] == 0) continue;
    int k = 0;
    for (int order = 0; order < 3; order++)    // 1-2, 1-3, 1-4 neighbours
      for (; k < atom->nspecial[i][order]; k++) {
        if (neighbor->special_flag[order + 1] != 0) continue;
        const tagint tag = atom->special[i][k];
        const int other = tag <= atom->map_tag_max ? atom->map(tag) : -1;
        if (other >= 0 && numbers_[atom->type[other]] != 0) return true;
      }
  }
  return false;
}

/// Fails if positions are not finite: such an atom would have no neighbours and a finite energy.
void PairPET::check_positions() const
{
  if (!all_finite(graph_.positions()))
    throw std::runtime_error("positions are not finite in step " +
                             std::to_string(update->ntimestep) + ": look for a fix or another "
                             "style that moves atoms to NaN");
  graph_.check_images();
}

void PairPET::check_finite(const pet::Evaluation &result) const
{
  if (!std::isfinite(result.energy) || !all_finite(result.forces))
    throw std::runtime_error("energy or forces are not finite in step " +
                             std::to_string(update->ntimestep) + ": atoms may overlap; minimize "
                             "first, or use a shorter timestep");
}

/// Runs an action on every rank.  If it fails on one, all ranks stop: the others would wait for it.
void PairPET::on_every_rank(const std::function<void()> &action) const
{
  std::string failure;
  try {
    action();
  } catch (const std::exception &e) {
    failure = e.what();
  }
  stop_if_any_failed(failure);
}

/// Stops all ranks with the message of the first rank that failed, if any.
void PairPET::stop_if_any_failed(const std::string &failure) const
{
  int mine = failure.empty() ? comm->nprocs : comm->me;
  int first = mine;
  MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, world);
  if (first == comm->nprocs) return;
  int length = static_cast<int>(failure.size());
  MPI_Bcast(&length, 1, MPI_INT, first, world);
  std::string message = failure;
  message.resize(length);
  MPI_Bcast(message.data(), length, MPI_CHAR, first, world);
  error->all(FLERR, "pair_style pet: {}", message);
}

/// Stops while other ranks may wait for messages of this one.  The launcher kills an aborted job at
/// once, so the message needs some time to reach the screen before.
void PairPET::stop_this_rank(const std::string &failure) const
{
  if (comm->nprocs > 1) {
    fmt::print(stderr, "pair_style pet: {}\n", failure);
    fflush(stderr);
    std::this_thread::sleep_for(FORWARDING);
  }
  error->one(FLERR, "pair_style pet: {}", failure);
}
