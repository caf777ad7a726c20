// SPDX-License-Identifier: BSD-3-Clause
//
// A trained potential as a function of edge vectors.
//
// This interface names neither torch nor LAMMPS: only the implementation behind `open` knows the
// format of the file, so that another format needs only another implementation.
// Units: angstrom and eV.  Failures are std::runtime_error with a message for the user.

#ifndef PET_ARCHIVE_H
#define PET_ARCHIVE_H

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pet {

/// Properties of an open archive.
struct Metadata {
  std::string path;                         // of the file
  std::vector<std::string> identity;        // equal for exports of the same model; see ensemble.h
  std::string device;                       // "cpu" or "cuda:N"
  int threads = 1;                          // of torch, on the CPU
  std::string dtype;                        // precision of the network: "float32" or "float64"
  std::string network;                      // "compiled", an instruction set, or "TorchScript"
  std::string note;                         // a warning for the user, or empty
  std::string grid;                         // rotations that the energy is averaged over
  std::vector<std::string> symbols;         // chemical elements that the model knows
  std::vector<std::int64_t> atomic_numbers; // in the same order
  double cutoff = 0.0;                      // largest length of an edge
  double interaction_range = 0.0;           // largest distance at which an atom affects an energy
};

struct OpenOptions {
  std::string name;                   // path of an archive, or name of a shipped model
  std::string device = "auto";        // "auto", "cpu", "cuda" or "cuda:N"
  std::string grid;                   // empty: the default of the archive
  std::int64_t max_edges = 0;         // rotations x edges in one pass of the network; 0: default
  int threads = 1;                    // of torch, on the CPU
  int local_rank = 0;                 // "cuda" selects GPU (local_rank modulo number of GPUs)
};

/// The exchange of rows of data between edges and their reverse edges on other ranks.
class Exchange {
 public:
  virtual ~Exchange() = default;

  /// Returns the number of edges whose reverse edges other ranks compute.
  virtual std::int64_t size() const = 0;

  /// Sends rows [size, row_bytes] and receives those of the reverse edges.  All ranks call this at
  /// the same time.  Rows without a reverse edge are zero.  Throws std::runtime_error.
  virtual void swap(const void *outgoing, void *incoming, std::int64_t row_bytes) = 0;
};

/// The graph between two rebuilds of the neighbour list: N nodes, E directed edges.  The edges
/// include those longer than the cutoff by up to the skin.
struct Topology {
  std::vector<std::int64_t> numbers;    // [N] atomic numbers
  std::vector<std::uint8_t> owned;      // [N] 1: this rank adds up the energy of the atom
  std::vector<std::int64_t> centers;    // [E] sorted
  std::vector<std::int64_t> neighbors;  // [E]
  std::vector<std::int64_t> reverse;    // [E] index of the edge seen from the other end
  std::vector<double> shifts;           // [E, 3] number of cell vectors added to the neighbour
  // May be null.  With an exchange, owned nodes come first and all centers are owned.  The
  // neighbour of remote edge s is the s-th node after them, which no other edge has, and the edge
  // is its own reverse.
  Exchange *exchange = nullptr;
};

struct Request {
  bool raw = false;               // compute the energy without rotation too
  bool virial = false;
  bool atomic_virials = false;
  std::int64_t step = 0;          // selects the draw of a random grid
};

struct Evaluation {
  double energy = 0.0;                     // sum over owned atoms, mean over the rotations
  std::vector<double> rotation_energies;   // [R] energy of each rotation; the raw one first
  std::vector<double> atomic_energies;     // [N] zero where not owned
  std::vector<double> forces;              // [N, 3]
  std::array<double, 6> virial{};          // xx yy zz xy xz yz of -dE/dstrain, symmetrised
  std::vector<double> atomic_virials;      // [N, 6] each edge gives half to either atom
};

/// The cost of one evaluation in local reference frames; zero for grids without them.
struct Workload {
  double frames = 0.0;       // number of local reference frames
  double edges = 0.0;        // number of edges in all frames
  double raw_edges = 0.0;    // number of edges of the raw network
};

class Archive {
 public:
  virtual ~Archive() = default;

  static std::unique_ptr<Archive> open(const OpenOptions &options);

  virtual const Metadata &metadata() const = 0;

  /// Returns the weights of `rotation_energies` [R], which add up to one.  If `raw`, the additional
  /// first entry of the raw network has weight zero.
  virtual const std::vector<double> &weights(bool raw) const = 0;

  /// Returns whether a topology may have an exchange.
  virtual bool can_exchange() const = 0;

  virtual void set_topology(const Topology &topology) = 0;

  /// Computes energies and derivatives at positions [N, 3] in a cell [3, 3] of row vectors.
  virtual Evaluation evaluate(const std::vector<double> &positions,
                              const std::array<double, 9> &cell, const Request &request) = 0;

  /// Returns the cost of an evaluation without doing it.
  virtual Workload workload(const std::vector<double> &positions,
                            const std::array<double, 9> &cell) = 0;
};

/// Returns the path of an archive, given a path or the name of a shipped model.
std::string resolve_archive(const std::string &name);

/// Returns the paths of the archives in "a.pt+b.pt".  File names may contain plus signs.
std::vector<std::string> resolve_archives(const std::string &names);

/// Returns the text of one entry of a JSON object, or an empty string if it has no such entry.
std::string json_entry(const std::string &object, const std::string &key);

}    // namespace pet

#endif
