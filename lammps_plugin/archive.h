// A trained potential as a function of edge vectors.
//
// This interface names neither torch nor LAMMPS: only the implementation behind `open` knows the
// format of the file, so that a second format is a second implementation.
// Units: angstrom and eV throughout.  Failures are std::runtime_error with a message for the user.

#ifndef PET_ARCHIVE_H
#define PET_ARCHIVE_H

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pet {

/// What the archive says about itself.
struct Card {
  std::string path;                         // where it was found
  std::string metadata;                     // all that it says of itself, as JSON
  std::string device;                       // where it runs: "cpu", "cuda:0"
  int threads = 1;                          // of torch, on the CPU
  std::string dtype;                        // of the network: "float32" or "float64"
  std::string network;                      // "compiled", an instruction set, or "TorchScript"
  std::string note;                         // what the user should know of it, or nothing
  std::string grid;                         // the rotations it is averaged over
  std::vector<std::string> symbols;         // chemical elements it knows
  std::vector<std::int64_t> atomic_numbers; // same order
  double cutoff = 0.0;                      // longest edge
  double interaction_range = 0.0;           // how far the energy of an atom reaches
};

struct OpenOptions {
  std::string name;                   // path of an archive, or the name of a shipped one
  std::string device = "auto";        // "auto", "cpu", "cuda" or "cuda:N"
  std::string grid;                   // empty: the archive's own default
  std::int64_t max_edges = 0;         // rotations x edges in one pass of the network; 0: by device
  int threads = 1;                    // of torch, on the CPU
  int local_rank = 0;                 // "cuda" takes GPU (local_rank modulo number of GPUs)
};

/// Where the rows of edges go whose reverse edge another rank has, and where its rows come from.
class Exchange {
 public:
  virtual ~Exchange() = default;

  /// How many such edges there are here.
  virtual std::int64_t size() const = 0;

  /// Hands over rows [size, row_bytes] and takes those of the reverse edges, as all ranks do at the
  /// same time.  A row that nobody has is zero.  Throws std::runtime_error.
  virtual void swap(const void *outgoing, void *incoming, std::int64_t row_bytes) = 0;
};

/// The graph between two neighbour list rebuilds: N nodes, E directed edges with the skin included.
struct Topology {
  std::vector<std::int64_t> numbers;    // [N] atomic numbers
  std::vector<std::uint8_t> owned;      // [N] 1: the energy of this atom counts
  std::vector<std::int64_t> centers;    // [E] non-decreasing
  std::vector<std::int64_t> neighbors;  // [E]
  std::vector<std::int64_t> reverse;    // [E] index of the edge seen from the other end
  std::vector<double> shifts;           // [E, 3] whole cell vectors added to the neighbour
  // With an exchange, which may be null: owned nodes come first, all centres are owned, and the
  // neighbour of remote edge s is a node of its own, the s-th after them.  Its reverse is itself.
  Exchange *exchange = nullptr;
};

struct Request {
  bool raw = false;               // energies for the raw network too (puts the identity first)
  bool virial = false;
  bool atomic_virials = false;
  std::int64_t step = 0;          // which draw of a random grid
};

struct Evaluation {
  double energy = 0.0;                     // sum over owned atoms, mean over the rotations
  std::vector<double> rotation_energies;   // [R] each rotation; the raw network first if asked for
  std::vector<double> atomic_energies;     // [N] zero where not owned
  std::vector<double> forces;              // [N, 3]
  std::array<double, 6> virial{};          // xx yy zz xy xz yz of -dE/dstrain, symmetrised
  std::vector<double> atomic_virials;      // [N, 6] half of each edge to either end
};

/// What seeing the atoms in frames that turn with them takes; all zero for grids without frames.
struct Workload {
  double frames = 0.0;       // how many
  double edges = 0.0;        // that the network sees in all of them
  double raw_edges = 0.0;    // that the raw network sees
};

class Archive {
 public:
  virtual ~Archive() = default;

  static std::unique_ptr<Archive> open(const OpenOptions &options);

  virtual const Card &card() const = 0;

  /// Weights of `rotation_energies`, [R]; they sum to one, the raw network's extra entry is zero.
  virtual const std::vector<double> &weights(bool raw) const = 0;

  /// Whether a topology may have an exchange.
  virtual bool can_exchange() const = 0;

  virtual void set_topology(const Topology &topology) = 0;

  /// Energies and their derivatives at positions [N, 3] in a cell [3, 3] whose rows are vectors.
  virtual Evaluation evaluate(const std::vector<double> &positions,
                              const std::array<double, 9> &cell, const Request &request) = 0;

  /// The work of one evaluation, without doing it.
  virtual Workload workload(const std::vector<double> &positions,
                            const std::array<double, 9> &cell) = 0;
};

/// Path of the archive behind a path or the name of a shipped one.
std::string resolve_archive(const std::string &name);

/// Paths of the archives behind "a.pt+b.pt".  A file whose own name has a plus sign is that file.
std::vector<std::string> resolve_archives(const std::string &names);

}    // namespace pet

#endif
