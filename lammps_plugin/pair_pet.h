// SPDX-License-Identifier: GPL-2.0-or-later
//
//   pair_style pet <archive>[+<archive>...] [device auto|cpu|cuda|cuda:N] [grid <name>]
//                  [max_edges N] [threads N] [warn F] [stop F] [exchange auto|on|off]
//                  [masses checked|free]
//   pair_coeff * * <element or NULL for every LAMMPS type>
//
// Units are metal or real.  `compute pair` returns four numbers: the energy of the raw, unrotated
// network; the standard deviation of the energy over the rotations of the grid; the standard
// deviation of the energy over the members of an ensemble; and the largest force standard deviation
// of any atom.  The last two are zero for a single archive.
//
// The force standard deviation of an atom is the root mean square deviation of the members' forces
// from their mean.  `fix pair ... pet force_std 0` returns it by atom.  A value above warn gives a
// warning, a value above stop an error (both in the force units of the input).  On several ranks,
// the reverse communication of the pair style adds up the forces of every member on ghosts.
//
// Several ranks: on CPUs every rank computes its own atoms, and in every message-passing layer
// ranks exchange the messages of edges between them, in the forward and in the backward pass.  With
// exchange off, and where exchange is not possible (on GPUs, without the kernels, with adaptive
// cutoffs, for grids with local reference frames), every rank computes its own atoms and all ghosts
// within the interaction range of the archive.  In both cases a rank adds up the energies of its
// own atoms only; the derivatives are forces on atoms and ghosts, which LAMMPS adds up.
//
// Per-atom virials: either atom of an edge gets half of -r (x) dE/dr.
//
// Masses: an atom type whose mass is closer to that of another element of the archive than to that
// of its own element is an error, unless masses are free.
//
// Random grids (random, 2i+random@SEED, ...) draw new rotations at every time step.  They are a
// function of seed and step, so that a restarted run has those of the uninterrupted run.
//
// Restart files contain no settings: give pair_style and pair_coeff again after read_restart.

#ifndef LMP_PAIR_PET_H
#define LMP_PAIR_PET_H

#include "ensemble.h"
#include "exchange.h"
#include "graph.h"
#include "settings.h"

#include "pair.h"

#include <functional>
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
  void *extract_peratom(const char *name, int &columns) override;
  int pack_forward_comm(int n, int *list, double *buffer, int pbc_flag, int *pbc) override;
  void unpack_forward_comm(int n, int first, double *buffer) override;
  int pack_reverse_comm(int n, int first, double *buffer) override;
  void unpack_reverse_comm(int n, int *list, double *buffer) override;

 private:
  std::unique_ptr<pet::Ensemble> ensemble_;
  pet::Thresholds thresholds_;
  PETGraph graph_;
  PETExchange exchange_;
  pet::ExchangeMode exchange_mode_ = pet::ExchangeMode::AUTO;
  pet::MassCheck mass_check_ = pet::MassCheck::CHECKED;
  bool exchanges_ = false;         // messages with other ranks
  std::vector<int> sent_;          // [atoms and ghosts] numbers that are copied to ghosts
  std::vector<int> numbers_;       // [types + 1] atomic number of a type, 0 for an ignored type
  int pairs_ = 0;                  // number of pairs of types that this style computes
  double energy_unit_ = 1.0;       // eV in the energy unit of the input
  bool is_set_up_ = false;         // by init_style, since the last pair_style or pair_coeff
  bool graph_is_fresh_ = false;
  pet::MemberResults member_results_;    // of this step
  std::vector<double> member_forces_;    // [atoms and ghosts, members, 3] eV/A
  std::vector<double> force_std_;        // [atoms] in the units of the input
  double largest_force_std_ = 0.0;       // of any atom on any rank

  void allocate();
  void open_ensemble(pet::OpenOptions options);
  void find_numbers();
  void print_summary() const;
  void require_ensemble() const;
  void check_environment() const;
  void check_masses() const;
  void check_computes() const;
  void warn_of_doubtful_input() const;
  void check_pairs() const;
  void check_special_lists() const;
  bool has_excluded_bonded_pair() const;
  void request_ghosts();
  bool choose_exchange() const;
  std::vector<int> copy_to_ghosts(std::vector<int> local, int fill);
  void print_rank_costs();
  void rebuild_graph(double margin);
  bool types_changed() const;
  void follow_types();
  void print_cost();
  void check_positions() const;
  pet::Evaluation evaluate();
  void check_finite(const pet::Evaluation &result) const;
  void measure_force_std();
  void check_largest_force_std();
  void tally(const pet::Evaluation &result);
  void tally_atoms(const pet::Evaluation &result);
  void summarize(const pet::Evaluation &result);
  std::vector<double> sum_over_ranks(std::vector<double> mine, std::size_t size) const;
  void on_every_rank(const std::function<void()> &action) const;
  void stop_if_any_failed(const std::string &failure) const;
  [[noreturn]] void stop_this_rank(const std::string &failure) const;
  double skin() const;
};

}    // namespace LAMMPS_NS

#endif
