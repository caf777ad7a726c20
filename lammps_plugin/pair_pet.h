// SPDX-License-Identifier: GPL-2.0-or-later
//
//   pair_style pet <archive>[+<archive>...] [device auto|cpu|cuda|cuda:N] [grid <name>]
//                  [max_edges N] [threads N] [warn F] [stop F] [exchange auto|on|off]
//   pair_coeff * * <element or NULL for every LAMMPS type>
//
// Units metal or real.  `compute pair` gives four numbers: the energy of the raw, unrotated network,
// the standard deviation of the energy over the rotations of the grid, that over the members of an
// ensemble, and the largest force standard deviation of any atom; the last two are zero for a single archive.
//
// The force standard deviation of an atom is the root mean square, over the members, of how far a member's force
// is from the mean: `fix pair ... pet force_std 0` gives it by atom.  Above warn there is a
// warning, above stop an error (in the force units of the input).  Several ranks send the forces of
// every member on ghosts home, for which the pair style's own reverse communication serves.
//
// Several ranks: on CPUs every rank computes its own atoms, and ranks exchange the messages of edges
// between them in every layer, forward and back.  With exchange off, and where it cannot be (on GPUs,
// without the kernels, with adaptive cutoffs, for grids with frames), every rank computes its own
// atoms and all ghosts within the archive's interaction range.  Either way the energies of its own
// atoms count, and derivatives give forces on atoms and ghosts, which LAMMPS sends home.
// Per-atom virials: half of an edge's -r (x) dE/dr goes to either end.
// Random grids (random, 2i+random@SEED, ...) draw anew at every time step, as a function of the seed
// and the step: a restarted run draws what the uninterrupted one would have drawn.
// Restart files keep no settings: give pair_style and pair_coeff again after read_restart.

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
  bool exchanges_ = false;         // messages with other ranks
  std::vector<int> sent_;          // [atoms and ghosts] numbers on their way to ghosts
  std::vector<int> numbers_;       // [types + 1] atomic number of a type, 0 where it is ignored
  int pairs_ = 0;                  // of types that LAMMPS leaves to this style
  double energy_unit_ = 1.0;       // eV in the energy unit of the input
  bool is_set_up_ = false;         // by init_style, since the last pair_style or pair_coeff
  bool graph_is_fresh_ = false;
  pet::MemberEvaluations apart_;         // of this step
  std::vector<double> member_forces_;    // [atoms and ghosts, members, 3] eV/A
  std::vector<double> force_std_;     // [atoms] in the units of the input
  double largest_spread_ = 0.0;          // of any atom on any rank

  void allocate();
  void open_ensemble(pet::OpenOptions options);
  void find_numbers();
  void print_summary() const;
  void require_ensemble() const;
  void check_environment() const;
  void warn_of_doubtful_input() const;
  void check_pairs() const;
  void request_ghosts();
  bool choose_exchange() const;
  std::vector<int> sent_to_ghosts(std::vector<int> mine, int otherwise);
  void print_shares();
  void rebuild_graph(double margin);
  bool types_changed() const;
  void follow_types();
  void print_cost();
  void check_positions() const;
  pet::Evaluation evaluate();
  void check_finite(const pet::Evaluation &result) const;
  void measure_force_std();
  void find_largest_spread();
  void tally(const pet::Evaluation &result);
  void tally_atoms(const pet::Evaluation &result);
  void summarize(const pet::Evaluation &result);
  std::vector<double> sum_over_ranks(std::vector<double> mine, std::size_t size) const;
  void together(const std::function<void()> &action) const;
  void all_or_none(const std::string &failure) const;
  [[noreturn]] void stop_alone(const std::string &failure) const;
  double skin() const;
};

}    // namespace LAMMPS_NS

#endif
