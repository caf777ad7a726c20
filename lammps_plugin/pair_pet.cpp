// SPDX-License-Identifier: GPL-2.0-or-later

#include "pair_pet.h"

#include "allocator.h"
#include "host.h"

#include "atom.h"
#include "citeme.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neighbor.h"
#include "universe.h"
#include "update.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

using namespace LAMMPS_NS;

static const char CITATION[] =
    "pair_style pet: doi:10.48550/arXiv.2305.19302\n\n"
    "@inproceedings{Pozdnyakov2023,\n"
    " title = {Smooth, exact rotational symmetrization for deep learning on point clouds},\n"
    " author = {Pozdnyakov, Sergey N. and Ceriotti, Michele},\n"
    " booktitle = {Advances in Neural Information Processing Systems},\n"
    " volume = {36},\n"
    " year = {2023}\n"
    "}\n\n";

PairPET::PairPET(LAMMPS *lmp) : Pair(lmp), graph_(lmp), exchange_(lmp)
{
  pet::keep_freed_memory();
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  // PET is not exactly invariant under rotations: sum r (x) f would have an antisymmetric part.
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_NOTAVAIL;
  ghostneigh = 1;    // keeps other styles of a hybrid from shortening the lists of ghosts
  comm_forward = 1;
  nextra = 4;
  pvector = new double[nextra]{};
  if (lmp->citeme) lmp->citeme->add(CITATION);
}

PairPET::~PairPET()
{
  delete[] pvector;
  if (!allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
  memory->destroy(cutghost);
}

void PairPET::allocate()
{
  const int types = atom->ntypes + 1;
  memory->create(setflag, types, types, "pair:setflag");
  memory->create(cutsq, types, types, "pair:cutsq");
  memory->create(cutghost, types, types, "pair:cutghost");
  for (int i = 0; i < types; i++)
    for (int j = 0; j < types; j++) setflag[i][j] = 0;
  map = new int[types];
  allocated = 1;
}

// ---------------------------------------------------------------- reading the input

void PairPET::settings(int narg, char **arg)
{
  // After an error, a caller such as a Python session must not continue with the old settings.
  ensemble_.reset();
  is_set_up_ = false;
  pet::Settings settings;
  std::string failure;
  try {
    settings = pet::parse_settings(std::vector<std::string>(arg, arg + narg));
  } catch (const std::exception &e) {
    failure = e.what();
  }
  if (!failure.empty()) error->all(FLERR, "pair_style pet: {}", failure);

  if (strcmp(update->unit_style, "metal") == 0) {
    energy_unit_ = 1.0;
  } else if (strcmp(update->unit_style, "real") == 0) {
    energy_unit_ = utils::get_conversion_factor(utils::ENERGY, utils::METAL2REAL);
  } else {
    error->all(FLERR, "pair_style pet: units {} are not supported: use units metal or real",
               update->unit_style);
  }
  thresholds_ = settings.thresholds;
  exchange_mode_ = settings.exchange;
  mass_check_ = settings.masses;
  open_ensemble(settings.open);
  print_summary();
  if (!numbers_.empty()) find_numbers();    // a second pair_style keeps pair_coeff
}

void PairPET::open_ensemble(pet::OpenOptions options)
{
  // Ranks on this host.  If the launcher does not tell, only the ranks of this partition count: a
  // collective call over all partitions would hang if one of them used another pair style.
  MPI_Comm host;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, comm->me, MPI_INFO_NULL, &host);
  int local_rank = 0, local_size = 1;
  MPI_Comm_rank(host, &local_rank);
  MPI_Comm_size(host, &local_size);
  const pet::CPUs own = pet::allowed_cpus();
  pet::CPUs all{};
  MPI_Allreduce(own.data(), all.data(), static_cast<int>(own.size()), MPI_UINT64_T, MPI_BOR, host);
  MPI_Comm_free(&host);
  if (universe->existflag) local_rank += universe->root_proc[universe->iworld];
  if (pet::launcher_local_rank() >= 0) local_rank = pet::launcher_local_rank();
  if (pet::launcher_local_size() > 0) local_size = pet::launcher_local_size();

  options.local_rank = local_rank;
  if (options.threads == 0) options.threads = pet::default_threads(own, all, local_size);

  std::string failure;
  try {
    ensemble_ = std::make_unique<pet::Ensemble>(options);
    if (thresholds_.any() && ensemble_->size() == 1)
      throw std::runtime_error("warn and stop need an ensemble, such as a.pt+b.pt: " +
                               ensemble_->metadata().path + " is a single model");
  } catch (const std::exception &e) {
    failure = e.what();
  }
  stop_if_any_failed(failure);
  comm_reverse = ensemble_->size() > 1 ? 3 * ensemble_->size() : 0;
}

void PairPET::print_summary() const
{
  if (comm->me != 0) return;
  const pet::Metadata &metadata = ensemble_->metadata();
  std::string threads;
  if (metadata.device == "cpu") threads = fmt::format(" ({} thread(s) a rank)", metadata.threads);
  utils::logmesg(lmp, "pair_style pet: {} ({}, {}) on {}{}, grid {} with {} rotation(s), "
                 "cutoff {:.6g} A, interaction range {:.6g} A\n",
                 metadata.path, metadata.dtype, metadata.network, metadata.device, threads,
                 metadata.grid, ensemble_->weights(false).size(), metadata.cutoff,
                 metadata.interaction_range);
  if (!metadata.note.empty()) error->warning(FLERR, "pair_style pet: {}", metadata.note);
}

void PairPET::coeff(int narg, char **arg)
{
  require_ensemble();
  numbers_.clear();
  is_set_up_ = false;
  if (!allocated) allocate();
  if (narg < 3 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "pair_style pet: write `pair_coeff * *` and an element for every one of the "
               "{} atom types", atom->ntypes);
  if (narg - 2 != atom->ntypes)
    error->all(FLERR, "pair_style pet: pair_coeff gives {} element(s) for {} atom type(s): give "
               "one for every type, and NULL for a type that the potential ignores",
               narg - 2, atom->ntypes);
  map_element2type(narg - 2, arg + 2);
  find_numbers();
}

/// Finds the atomic numbers of the types.  Leaves none if the archive does not know an element.
void PairPET::find_numbers()
{
  const pet::Metadata &metadata = ensemble_->metadata();
  numbers_.clear();
  std::vector<int> numbers(atom->ntypes + 1, 0);
  for (int type = 1; type <= atom->ntypes; type++) {
    if (map[type] < 0) continue;
    const std::string symbol = elements[map[type]];
    const auto place = std::find(metadata.symbols.begin(), metadata.symbols.end(), symbol);
    if (place == metadata.symbols.end())
      error->all(FLERR, "pair_style pet: unknown element {}: {} knows {}", symbol, metadata.path,
                 pet::joined(metadata.symbols));
    numbers[type] = static_cast<int>(metadata.atomic_numbers[place - metadata.symbols.begin()]);
  }
  numbers_ = std::move(numbers);
}

// ---------------------------------------------------------------- before a run

void PairPET::init_style()
{
  require_ensemble();
  check_environment();
  check_masses();
  check_computes();
  warn_of_doubtful_input();
  pairs_ = 0;
  exchanges_ = choose_exchange();
  request_ghosts();
  graph_is_fresh_ = false;
  is_set_up_ = true;
}

/// Requests a full neighbour list.  A rank that computes ghosts also needs the neighbours of
/// ghosts, and all ghosts within the interaction range.
void PairPET::request_ghosts()
{
  const bool alone = comm->nprocs == 1 || exchanges_;
  neighbor->add_request(this, NeighConst::REQ_FULL | (alone ? 0 : NeighConst::REQ_GHOST));
  if (alone) return;
  const double reach = ensemble_->metadata().interaction_range + skin();
  comm->cutghostuser = std::max(comm->cutghostuser, reach);
}

double PairPET::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "pair_style pet: All pair coeffs are not set");
  pairs_++;
  cutghost[i][j] = cutghost[j][i] = ensemble_->metadata().cutoff;
  return ensemble_->metadata().cutoff;
}

double PairPET::skin() const { return neighbor->skin; }

// ---------------------------------------------------------------- every step

void PairPET::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (!is_set_up_)
    error->all(FLERR, "pair_style pet: pair_style or pair_coeff came after the last setup: give "
               "`run` without `pre no`");
  const bool begins = !graph_is_fresh_;
  if (begins) check_pairs();
  if (neighbor->ago == 0 || begins) rebuild_graph(skin());
  else if (types_changed()) follow_types();
  if (begins) {
    print_rank_costs();
    print_cost();
  }
  on_every_rank([&] { check_positions(); });
  const pet::Evaluation result = evaluate();
  on_every_rank([&] { check_finite(result); });
  measure_force_std();
  tally(result);
}

/// `margin` is added to the cutoff, for edges that may become shorter than the cutoff before the
/// next neighbour list.
void PairPET::rebuild_graph(double margin)
{
  check_special_lists();
  const pet::Metadata &metadata = ensemble_->metadata();
  const double cutoff = metadata.cutoff + margin;
  on_every_rank([&] {
    if (exchanges_) graph_.rebuild_local(list, numbers_, cutoff, &exchange_);
    else graph_.rebuild(list, numbers_, cutoff, metadata.interaction_range + margin);
  });
  if (exchanges_) exchange_.rebuild(graph_.remote(), copy_to_ghosts({}, comm->me));
  on_every_rank([&] { ensemble_->set_topology(graph_.topology()); });
  graph_is_fresh_ = true;
}

/// Returns whether atoms on any rank have changed their type since the graph was built.
bool PairPET::types_changed() const
{
  const int mine = graph_.types_changed();
  int any = 0;
  MPI_Allreduce(&mine, &any, 1, MPI_INT, MPI_MAX, world);
  return any != 0;
}

/// Follows changes of atom types between two neighbour lists, as in a Monte Carlo trial.  Ghosts
/// get the types of their atoms.  The new graph contains all pairs of the list, because pairs that
/// are now longer than when the list was built may become shorter again.
void PairPET::follow_types()
{
  on_every_rank([&] { graph_.check_types(numbers_); });
  const int *types = atom->type;
  const std::vector<int> sent = copy_to_ghosts({types, types + atom->nlocal}, 0);
  std::copy(sent.begin() + atom->nlocal, sent.end(), atom->type + atom->nlocal);
  rebuild_graph(2.0 * skin());
}

/// Prints the cost of local reference frames before the first step: it may be that of hundreds of
/// raw evaluations.
void PairPET::print_cost()
{
  pet::Workload mine;
  on_every_rank([&] {
    if (!graph_.atoms().empty()) mine = ensemble_->workload(graph_.positions(), graph_.cell());
  });
  const double counts[3] = {mine.frames, mine.edges, mine.raw_edges};
  double sums[3] = {0.0, 0.0, 0.0};
  MPI_Reduce(counts, sums, 3, MPI_DOUBLE, MPI_SUM, 0, world);
  if (sums[0] == 0.0) return;    // no frames, or not the first rank
  utils::logmesg(lmp, "pair_style pet: {:.0f} local reference frames for {} atoms, with as many "
                 "edges as {:.1f} raw evaluations a step\n", sums[0], atom->natoms,
                 sums[1] / std::max(1.0, sums[2]));
}

pet::Evaluation PairPET::evaluate()
{
  pet::Request request;
  request.raw = eflag_global != 0;
  request.virial = vflag_global != 0;
  request.atomic_virials = vflag_atom != 0;
  request.step = update->ntimestep;
  member_results_ = {};    // stays empty in an empty domain
  if (graph_.atoms().empty()) return {};
  try {
    return ensemble_->evaluate(graph_.positions(), graph_.cell(), request, member_results_);
  } catch (const std::exception &e) {
    stop_this_rank(e.what());
  }
  return {};
}

// ---------------------------------------------------------------- results for LAMMPS

void PairPET::tally(const pet::Evaluation &result)
{
  const std::vector<int> &atoms = graph_.atoms();
  double **f = atom->f;
  for (std::size_t node = 0; node < atoms.size(); node++)
    for (int k = 0; k < 3; k++) f[atoms[node]][k] += energy_unit_ * result.forces[3 * node + k];

  if (eflag_global) {
    eng_vdwl += energy_unit_ * result.energy;
    summarize(result);
  }
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] += energy_unit_ * result.virial[k];
  if (eflag_atom || vflag_atom) tally_atoms(result);
}

void PairPET::tally_atoms(const pet::Evaluation &result)
{
  const std::vector<int> &atoms = graph_.atoms();
  for (std::size_t node = 0; node < atoms.size(); node++) {
    const int i = atoms[node];
    if (eflag_atom && i < atom->nlocal) eatom[i] += energy_unit_ * result.atomic_energies[node];
    if (!vflag_atom) continue;
    for (int k = 0; k < 6; k++) vatom[i][k] += energy_unit_ * result.atomic_virials[6 * node + k];
  }
}

double PairPET::memory_usage()
{
  const pet::Topology &topology = graph_.topology();
  return Pair::memory_usage() + static_cast<double>(topology.centers.size()) * 6 * sizeof(double);
}
