// SPDX-License-Identifier: GPL-2.0-or-later
//
//   pair_style pet <archive> [device auto|cpu|cuda|cuda:N] [grid <name>] [max_edges N] [threads N]
//   pair_coeff * * <element or NULL for every LAMMPS type>
//
// Units metal or real.  `compute pair` gives two numbers: the energy of the raw, unrotated network,
// and the standard deviation of the energy over the rotations of the grid.
//
// Several ranks: every rank computes its own atoms and all ghosts within the archive's interaction
// range; the energies of its own atoms count, their derivatives give forces on atoms and ghosts.
// Per-atom virials: half of an edge's -r (x) dE/dr goes to either end.
// Random grids (random, 2i+random@SEED, ...) draw anew at every time step, as a function of the seed
// and the step: a restarted run draws what the uninterrupted one would have drawn.
// Restart files keep no settings: give pair_style and pair_coeff again after read_restart.

#ifndef LMP_PAIR_PET_H
#define LMP_PAIR_PET_H

#include "archive.h"
#include "graph.h"

#include "pair.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairPET : public Pair {
 public:
  explicit PairPET(LAMMPS *lmp);
  ~PairPET() override;

  void compute(int eflag, int vflag) override;
  void settings(int narg, char **arg) override;
  void coeff(int narg, char **arg) override;
  void init_style() override;
  double init_one(int i, int j) override;
  double memory_usage() override;

 private:
  std::unique_ptr<pet::Archive> archive_;
  PETGraph graph_;
  std::vector<int> numbers_;       // [types + 1] atomic number of a type, 0 where it is ignored
  double energy_unit_ = 1.0;       // eV in the energy unit of the input
  bool graph_is_fresh_ = false;

  void allocate();
  void open_archive(pet::OpenOptions options);
  void print_summary() const;
  void check_environment() const;
  void request_ghosts();
  void rebuild_graph();
  pet::Evaluation evaluate();
  void check_finite(const pet::Evaluation &result) const;
  void tally(const pet::Evaluation &result);
  void tally_atoms(const pet::Evaluation &result);
  void summarize_rotations(const pet::Evaluation &result);
  void all_or_none(const std::string &failure) const;
  double skin() const;
};

}    // namespace LAMMPS_NS

#endif
