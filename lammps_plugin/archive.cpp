// The TorchScript archive.

#include "archive.h"

#include "compiled.h"
#include "kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/cuda.h>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <unordered_map>
#include <utility>

namespace {

constexpr int FORMAT_VERSION = 2;
constexpr const char *PACKAGE_FILE = "network.pt2";
// A CPU is fastest while a pass stays near its caches; a GPU wants work and has memory.
constexpr std::int64_t MAX_EDGES_CPU = 20000;
constexpr std::int64_t MAX_EDGES_CUDA = 300000;

at::TensorOptions int64() { return at::TensorOptions().dtype(at::kLong); }
at::TensorOptions float64() { return at::TensorOptions().dtype(at::kDouble); }

template <typename T>
at::Tensor to_tensor(const std::vector<T> &values, at::IntArrayRef shape, at::TensorOptions options,
                     at::Device device)
{
  if (values.empty()) return at::empty(shape, options.device(device));
  // clone: the vector lives on the heap of the caller and may go away
  return at::from_blob(const_cast<T *>(values.data()), shape, options).clone().to(device);
}

std::vector<double> to_vector(const at::Tensor &tensor)
{
  const at::Tensor flat = tensor.to(at::kCPU, at::kDouble).contiguous();
  const double *data = flat.const_data_ptr<double>();
  return {data, data + flat.numel()};
}

/// torch's messages carry pages of traceback; the last line that names an error says it all.
std::string brief(const std::string &message)
{
  std::string last;
  std::size_t begin = 0;
  while (begin < message.size()) {
    std::size_t end = message.find('\n', begin);
    if (end == std::string::npos) end = message.size();
    const std::string line = message.substr(begin, end - begin);
    if (line.find("Error: ") != std::string::npos || last.empty()) last = line;
    begin = end + 1;
  }
  return last;
}

std::string shortage(const std::string &what)
{
  return "out of memory while " + what + ": lower max_edges; where that does not help, use a device "
         "with more memory, more ranks, or a smaller box";
}

/// A shortage of memory inside TorchScript, or the kernels, is a std::runtime_error like any other.
std::string explained(const std::string &what, const std::string &message)
{
  // cuBLAS needs memory for its handle too
  for (const char *text :
       {"out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED"})
    if (message.find(text) != std::string::npos) return shortage(what);
  return "torch failed while " + what + ": " + brief(message);
}

/// Runs torch code; what it throws becomes one readable std::runtime_error.
template <typename Function> auto guarded(const std::string &what, Function &&function)
{
  try {
    return function();
  } catch (const c10::Error &error) {
    throw std::runtime_error(explained(what, error.what_without_backtrace()));
  } catch (const std::bad_alloc &) {
    throw std::runtime_error(shortage(what));
  } catch (const std::exception &error) {
    throw std::runtime_error(explained(what, error.what()));
  }
}

at::Device choose_device(const pet::OpenOptions &options)
{
  const int count = static_cast<int>(torch::cuda::device_count());
  if (options.device == "cpu") return at::kCPU;
  if (options.device == "auto" && count == 0) return at::kCPU;
  if (count == 0)
    throw std::runtime_error("device " + options.device + " was asked for, but torch finds no GPU: "
                             "use device cpu, or install a torch built for CUDA");
  int index = options.local_rank % count;
  if (options.device.rfind("cuda:", 0) == 0) index = std::stoi(options.device.substr(5));
  if (index >= count)
    throw std::runtime_error("device " + options.device + " does not exist: torch finds " +
                             std::to_string(count) + " GPU(s), numbered from 0");
  return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
}

class TorchScriptArchive : public pet::Archive {
 public:
  explicit TorchScriptArchive(const pet::OpenOptions &options)
      : max_edges_(options.max_edges), device_(choose_device(options))
  {
    if (max_edges_ == 0) max_edges_ = device_.is_cuda() ? MAX_EDGES_CUDA : MAX_EDGES_CPU;
    at::set_num_threads(options.threads);
    choose_executor();
    card_.path = pet::resolve_archive(options.name);
    card_.device = device_.str();
    card_.threads = options.threads;
    load();
    read_card();
    choose_network();
    card_.grid = options.grid.empty() ? module_.attr("default_grid").toStringRef() : options.grid;
    random_ = card_.grid.find("random") != std::string::npos;
    set_grid(0);
  }

  const pet::Card &card() const override { return card_; }

  const std::vector<double> &weights(bool raw) const override
  {
    return raw ? raw_weight_values_ : weight_values_;
  }

  /// Only the kernels know how.  Frames and adaptive cutoffs look at the edges of neighbours.
  bool can_exchange() const override
  {
    const auto cutoffs = module_.attr("pair_cutoffs").toModule();
    return kernels_ && frames_ == 0 && !cutoffs.attr("adaptive").toBool();
  }

  void set_topology(const pet::Topology &topology) override
  {
    exchanges_ = topology.exchange != nullptr;
    if (kernels_)
      kernels_->exchange_with(topology.exchange,
                              std::count(topology.owned.begin(), topology.owned.end(), 1));
    guarded("copying the neighbour list", [&] {
      const auto nodes = static_cast<std::int64_t>(topology.numbers.size());
      const auto edges = static_cast<std::int64_t>(topology.centers.size());
      numbers_ = to_tensor(topology.numbers, {nodes}, int64(), device_);
      owned_ = to_tensor(topology.owned, {nodes}, at::TensorOptions().dtype(at::kByte), device_);
      owned_ = owned_.to(at::kBool);
      structures_ = at::zeros({nodes}, int64().device(device_));
      centers_ = to_tensor(topology.centers, {edges}, int64(), device_);
      neighbors_ = to_tensor(topology.neighbors, {edges}, int64(), device_);
      reverse_ = to_tensor(topology.reverse, {edges}, int64(), device_);
      shifts_ = to_tensor(topology.shifts, {edges, 3}, float64(), device_);
      shift_vectors_ = at::Tensor();
      return 0;
    });
  }

  pet::Evaluation evaluate(const std::vector<double> &positions, const std::array<double, 9> &cell,
                           const pet::Request &request) override
  {
    if (random_ && request.step != grid_step_) set_grid(request.step);
    return guarded("evaluating the potential", [&] { return run(positions, cell, request); });
  }

  pet::Workload workload(const std::vector<double> &positions,
                         const std::array<double, 9> &cell) override
  {
    if (frames_ == 0) return {};
    return guarded("predicting the cost of frames", [&] {
      const Edges e = edges(on_device(positions), cell);
      const auto counts = module_
          .get_method("workload")({numbers_, e.vectors, e.centers, e.neighbors, e.reverse,
                                   structures_, owned_, static_cast<std::int64_t>(1), frames_,
                                   max_edges_})
          .toTuple();
      const auto rotations = static_cast<double>(weight_values_.size());
      const auto count = [&](int k) {
        return static_cast<double>(counts->elements()[k].toInt());
      };
      return pet::Workload{rotations * count(0), rotations * count(1), count(2)};
    });
  }

 private:
  std::int64_t max_edges_;
  at::Device device_;
  pet::Card card_;
  std::unique_ptr<pet::Kernels> kernels_;      // these two outlive the module that calls them
  std::unique_ptr<pet::Compiled> compiled_;
  std::string package_;    // the compiled network, until it is loaded
  torch::jit::Module module_;
  bool exchanges_ = false;         // messages with other ranks
  bool random_ = false;            // the rotations of the grid are drawn anew at every step
  std::int64_t grid_step_ = 0;     // the step they were drawn for
  std::int64_t frames_ = 0;        // whether the structure is seen in frames that turn with it
  at::Tensor rotations_, weights_, raw_rotations_, raw_weights_;
  std::vector<double> weight_values_, raw_weight_values_;
  at::Tensor numbers_, owned_, structures_, centers_, neighbors_, reverse_, shifts_;
  at::Tensor shift_vectors_;  // S.cell of every pair, in the cell below
  std::array<double, 9> shifted_cell_{};

  struct Edges {
    at::Tensor vectors, centers, neighbors, reverse;
  };

  /// The number of edges changes at every step, and kernels that are fused for one would be compiled
  /// anew for the next: nothing is fused, and on the CPU the bare executor is about a third faster.
  void choose_executor() const
  {
    if (!device_.is_cuda()) torch::jit::getProfilingMode() = false;
    torch::jit::FusionStrategy strategy{{torch::jit::FusionBehavior::DYNAMIC, 0}};
    torch::jit::setFusionStrategy(strategy);
  }

  void load()
  {
    std::unordered_map<std::string, std::string> extra{{"metadata.json", ""}, {PACKAGE_FILE, ""}};
    try {
      module_ = torch::jit::load(card_.path, device_, extra);
    } catch (const std::exception &error) {
      const std::string said = brief(error.what());
      // What torch says of a file that it cannot read misleads: it takes it for a checkpoint.
      if (said.find("PytorchStreamReader") != std::string::npos ||
          said.find("hasRecord") != std::string::npos)
        throw std::runtime_error("'" + card_.path + "' is not an archive of pet-driver, or is damaged: "
                                 "export a checkpoint with `pet-driver export CHECKPOINT -o "
                                 "model.pt`, or copy the archive again");
      throw std::runtime_error("cannot load '" + card_.path + "' (" + said + "): copy or export it "
                               "again");
    }
    module_.eval();
    package_ = std::move(extra[PACKAGE_FILE]);
    card_.metadata = extra["metadata.json"];
    for (const char *name : {"symbols", "atomic_numbers", "cutoff", "interaction_range",
                             "default_grid", "format_version", "dtype_name"})
      if (extra["metadata.json"].empty() || !module_.hasattr(name))
        throw std::runtime_error("'" + card_.path + "' is a TorchScript file, but not an archive "
                                 "of pet-driver: write one with `pet-driver export`");
    const auto version = module_.attr("format_version").toInt();
    if (version != FORMAT_VERSION)
      throw std::runtime_error("'" + card_.path + "' has format version " +
                               std::to_string(version) + ", this plugin reads version " +
                               std::to_string(FORMAT_VERSION) +
                               ": export the potential again, or update pet-driver");
  }

  /// The fastest that there is for this machine.
  void choose_network()
  {
    compiled_ = guarded("loading the compiled network", [&] {
      return pet::Compiled::attach(module_, std::exchange(package_, {}), device_, card_.note);
    });
    if (compiled_)
      card_.network = "compiled";
    else if (device_.is_cpu() && (kernels_ = pet::Kernels::attach(module_)))
      card_.network = kernels_->level();
    else
      card_.network = "TorchScript";
  }

  void read_card()
  {
    for (const at::IValue &symbol : module_.attr("symbols").toListRef())
      card_.symbols.push_back(symbol.toStringRef());
    for (const std::int64_t number : module_.attr("atomic_numbers").toIntVector())
      card_.atomic_numbers.push_back(number);
    card_.cutoff = module_.attr("cutoff").toDouble();
    card_.interaction_range = module_.attr("interaction_range").toDouble();
    card_.dtype = module_.attr("dtype_name").toStringRef();
  }

  /// Reads the grid, and puts the identity before it for the requests that want the raw energy.
  /// Random rotations are a function of the seed in the name and the step, so that a restart
  /// goes on with the same ones, and that all ranks have the same.
  void set_grid(std::int64_t step)
  {
    try {
      const auto grid = module_.get_method("grid")({card_.grid, step}).toTuple();
      rotations_ = grid->elements()[0].toTensor().to(device_, at::kDouble);
      weights_ = grid->elements()[1].toTensor().to(device_, at::kDouble);
      frames_ = grid->elements()[2].toInt();
    } catch (const std::exception &error) {
      throw std::runtime_error("unknown grid '" + card_.grid + "' (" + brief(error.what()) + ")");
    }
    raw_rotations_ = rotations_;
    raw_weights_ = weights_;
    const at::Tensor identity = at::eye(3, rotations_.options());
    if (frames_ != 0 || !rotations_[0].equal(identity)) {
      raw_rotations_ = at::cat({identity.unsqueeze(0), rotations_});
      raw_weights_ = at::cat({at::zeros({1}, weights_.options()), weights_});
    }
    grid_step_ = step;
    weight_values_ = to_vector(weights_);
    raw_weight_values_ = to_vector(raw_weights_);
  }

  /// Rows of three numbers; the tensor may share the memory of the caller.
  template <typename Values> at::Tensor on_device(const Values &values) const
  {
    const auto rows = static_cast<std::int64_t>(values.size() / 3);
    return at::from_blob(const_cast<double *>(values.data()), {rows, 3}, float64()).to(device_);
  }

  /// Edge vectors at these positions, without the edges that are longer than the cutoff.
  Edges edges(const at::Tensor &positions, const std::array<double, 9> &cell)
  {
    at::Tensor vectors = positions.index_select(0, neighbors_);
    vectors.sub_(positions.index_select(0, centers_)).add_(shift_vectors(cell));
    // A product with ones is several times faster than a sum over so short an axis.
    const at::Tensor ones = at::ones({3}, vectors.options());
    at::Tensor kept = vectors.mul(vectors).mv(ones) < card_.cutoff * card_.cutoff;
    // Rounding may put the two directions of one edge on either side of the cutoff.
    kept = kept.logical_and(kept.index_select(0, reverse_));
    const at::Tensor index = kept.nonzero().squeeze(1);
    const at::Tensor renumbered = kept.cumsum(0, at::kLong) - 1;
    return {vectors.index_select(0, index), centers_.index_select(0, index),
            neighbors_.index_select(0, index),
            renumbered.index_select(0, reverse_.index_select(0, index))};
  }

  /// S.cell of every pair, kept until the neighbour list or the cell changes.
  const at::Tensor &shift_vectors(const std::array<double, 9> &cell)
  {
    if (!shift_vectors_.defined() || cell != shifted_cell_) {
      shift_vectors_ = shifts_.matmul(on_device(cell));
      shifted_cell_ = cell;
    }
    return shift_vectors_;
  }

  pet::Evaluation run(const std::vector<double> &positions, const std::array<double, 9> &cell,
                      const pet::Request &request)
  {
    const auto nodes = static_cast<std::int64_t>(positions.size() / 3);
    const Edges e = edges(on_device(positions), cell);

    const auto outputs = module_
        .forward({numbers_, e.vectors, e.centers, e.neighbors, e.reverse, structures_, owned_,
                  static_cast<std::int64_t>(1), request.raw ? raw_rotations_ : rotations_,
                  request.raw ? raw_weights_ : weights_, frames_,
                  // ranks that exchange need the same number of passes: one for each rotation
                  exchanges_ ? std::int64_t{1} : max_edges_})
        .toTuple();
    const at::Tensor gradients = outputs->elements()[2].toTensor().detach();

    pet::Evaluation result;
    result.energy = outputs->elements()[0].toTensor().sum().item<double>();
    result.atomic_energies = to_vector(outputs->elements()[1].toTensor().detach());
    result.rotation_energies = to_vector(outputs->elements()[3].toTensor().detach());
    // torch is ten times slower with a factor of -1
    const at::Tensor none = at::zeros({nodes, 3}, gradients.options());
    result.forces = to_vector(none.index_add(0, e.centers, gradients) -
                              none.index_add(0, e.neighbors, gradients));
    if (request.virial || request.atomic_virials) add_virials(result, e, gradients, nodes, request);
    return result;
  }

  /// The raw network is not exactly invariant: its -r (x) g has a small antisymmetric part, which
  /// no rotation-free box can take up.  It is dropped.
  static void add_virials(pet::Evaluation &result, const Edges &e, const at::Tensor &gradients,
                          std::int64_t nodes, const pet::Request &request)
  {
    const at::Tensor rows = at::tensor({0, 1, 2, 0, 0, 1}, int64().device(gradients.device()));
    const at::Tensor columns = at::tensor({0, 1, 2, 1, 2, 2}, int64().device(gradients.device()));
    const auto outer = [&](const at::Tensor &a, const at::Tensor &b) {
      return e.vectors.index_select(1, a) * gradients.index_select(1, b);
    };
    const at::Tensor edge_virials = -0.5 * (outer(rows, columns) + outer(columns, rows));
    const std::vector<double> total = to_vector(edge_virials.sum(0));
    std::copy(total.begin(), total.end(), result.virial.begin());
    if (!request.atomic_virials) return;
    at::Tensor virials = at::zeros({nodes, 6}, gradients.options());
    const at::Tensor halves = 0.5 * edge_virials;    // torch is ten times slower with a factor
    virials.index_add_(0, e.centers, halves).index_add_(0, e.neighbors, halves);
    result.atomic_virials = to_vector(virials);
  }
};

}    // namespace

std::unique_ptr<pet::Archive> pet::Archive::open(const OpenOptions &options)
{
  return std::make_unique<TorchScriptArchive>(options);
}
