// SPDX-License-Identifier: BSD-3-Clause
//
// An archive in the TorchScript format.

#include "archive.h"

#include "compiled.h"
#include "edges.h"
#include "kernels.h"
#include "shared_rules.h"
#include "tensors.h"
#include "torch_errors.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/cuda.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>
#include <utility>

namespace {

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
    if (max_edges_ == 0) max_edges_ = device_.is_cuda() ? pet::MAX_EDGES_CUDA : pet::MAX_EDGES_CPU;
    at::set_num_threads(options.threads);
    choose_executor();
    metadata_.path = pet::resolve_archive(options.name);
    metadata_.device = device_.str();
    metadata_.threads = options.threads;
    load();
    read_metadata();
    choose_network();
    if (!options.grid.empty()) metadata_.grid = options.grid;
    random_ = metadata_.grid.find("random") != std::string::npos;
    set_grid(0);
  }

  const pet::Metadata &metadata() const override { return metadata_; }

  const std::vector<double> &weights(bool raw) const override
  {
    return raw ? raw_weight_values_ : weight_values_;
  }

  /// Only the kernels can exchange.  Local reference frames and adaptive cutoffs depend on the
  /// edges of neighbours, which other ranks may have.
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
    pet::guarded("copying the neighbour list", [&] {
      const auto nodes = static_cast<std::int64_t>(topology.numbers.size());
      numbers_ = pet::to_tensor(topology.numbers, {nodes}, at::kLong, device_);
      owned_ = pet::to_tensor(topology.owned, {nodes}, at::kByte, device_).to(at::kBool);
      edges_ = pet::EdgeList(topology, device_, metadata_.cutoff, kernels_ != nullptr);
    });
  }

  pet::Evaluation evaluate(const std::vector<double> &positions, const std::array<double, 9> &cell,
                           const pet::Request &request) override
  {
    if (random_ && request.step != grid_step_) set_grid(request.step);
    return pet::guarded("evaluating the potential", [&] { return run(positions, cell, request); });
  }

  pet::Workload workload(const std::vector<double> &positions,
                         const std::array<double, 9> &cell) override
  {
    if (frames_ == 0) return {};
    return pet::guarded("predicting the cost of local reference frames", [&] {
      const pet::Edges e = edges_.find(positions, cell);
      const auto counts = module_
          .get_method("workload")({numbers_, e.vectors, e.centers, e.neighbors, e.reverse,
                                   edges_.structures(), owned_, std::int64_t{1}, frames_,
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
  pet::Metadata metadata_;
  std::unique_ptr<pet::Kernels> kernels_;      // these two must outlive the module that calls them
  std::unique_ptr<pet::Compiled> compiled_;
  std::string package_;    // content of the entry PACKAGE_FILE, until it is loaded
  torch::jit::Module module_;
  bool exchanges_ = false;         // messages with other ranks
  bool random_ = false;            // every step draws other rotations
  std::int64_t grid_step_ = 0;     // the step of the current rotations
  std::int64_t frames_ = 0;        // kind of local reference frames; 0: none
  at::Tensor rotations_, weights_, raw_rotations_, raw_weights_;
  std::vector<double> weight_values_, raw_weight_values_;
  at::Tensor numbers_, owned_;
  pet::EdgeList edges_;

  /// Switches off fusion: the number of edges changes at every step, and torch would compile fused
  /// operations again for every number.  Without profiling, a CPU is about a third faster.
  void choose_executor() const
  {
    if (!device_.is_cuda()) torch::jit::getProfilingMode() = false;
    torch::jit::FusionStrategy strategy{{torch::jit::FusionBehavior::DYNAMIC, 0}};
    torch::jit::setFusionStrategy(strategy);
  }

  void load()
  {
    std::unordered_map<std::string, std::string> extra{{pet::METADATA_FILE, ""},
                                                       {pet::PACKAGE_FILE, ""}};
    try {
      module_ = torch::jit::load(metadata_.path, device_, extra);
    } catch (const std::exception &error) {
      const std::string reason = pet::error_line(error.what());
      // torch's own message about a file that it cannot read is misleading: it suggests torch.load.
      if (reason.find("PytorchStreamReader") != std::string::npos ||
          reason.find("hasRecord") != std::string::npos)
        throw std::runtime_error("'" + metadata_.path + "' is not an archive of pet-driver, or is "
                                 "damaged: export a checkpoint with `pet-driver export CHECKPOINT "
                                 "-o model.pt`, or copy the archive again");
      throw std::runtime_error("cannot load '" + metadata_.path + "' (" + reason + "): copy or "
                               "export it again");
    }
    module_.eval();
    package_ = std::move(extra[pet::PACKAGE_FILE]);
    const std::string &json = extra[pet::METADATA_FILE];
    for (const char *name : {"symbols", "atomic_numbers", "cutoff", "interaction_range",
                             "default_grid", "format_version", "dtype_name"})
      if (json.empty() || !module_.hasattr(name))
        throw std::runtime_error("'" + metadata_.path + "' is a TorchScript file, but not an "
                                 "archive of pet-driver: write one with `pet-driver export`");
    const auto version = module_.attr("format_version").toInt();
    if (version != pet::FORMAT_VERSION)
      throw std::runtime_error("'" + metadata_.path + "' has format version " +
                               std::to_string(version) + ", this plugin reads version " +
                               std::to_string(pet::FORMAT_VERSION) +
                               ": export the model again, or update pet-driver");
    for (const char *entry : pet::IDENTITY_ENTRIES)
      metadata_.identity.push_back(pet::json_entry(json, entry));
  }

  /// Chooses the fastest implementation of the network for this machine.
  void choose_network()
  {
    compiled_ = pet::guarded("loading the compiled network", [&] {
      return pet::Compiled::attach(module_, std::exchange(package_, {}), device_, metadata_.note);
    });
    if (compiled_)
      metadata_.network = "compiled";
    else if (device_.is_cpu() && (kernels_ = pet::Kernels::attach(module_)))
      metadata_.network = kernels_->instruction_set();
    else
      metadata_.network = "TorchScript";
  }

  void read_metadata()
  {
    for (const at::IValue &symbol : module_.attr("symbols").toListRef())
      metadata_.symbols.push_back(symbol.toStringRef());
    for (const std::int64_t number : module_.attr("atomic_numbers").toIntVector())
      metadata_.atomic_numbers.push_back(number);
    metadata_.cutoff = module_.attr("cutoff").toDouble();
    metadata_.interaction_range = module_.attr("interaction_range").toDouble();
    metadata_.dtype = module_.attr("dtype_name").toStringRef();
    metadata_.grid = module_.attr("default_grid").toStringRef();
  }

  /// Reads the grid, and puts the identity before it for requests of the raw energy.  Random
  /// rotations are a function of the seed in the name and of the step, so that all ranks have the
  /// same ones and a restarted run continues with those of the uninterrupted run.
  void set_grid(std::int64_t step)
  {
    try {
      const auto grid = module_.get_method("grid")({metadata_.grid, step}).toTuple();
      rotations_ = grid->elements()[0].toTensor().to(device_, at::kDouble);
      weights_ = grid->elements()[1].toTensor().to(device_, at::kDouble);
      frames_ = grid->elements()[2].toInt();
    } catch (const std::exception &error) {
      // The archive says which grids it knows.  TorchScript puts its own type before the message.
      const std::string line = pet::error_line(error.what()), type = "ValueError: ";
      const std::size_t found = line.rfind(type);
      if (found == std::string::npos) throw std::runtime_error(line);
      throw std::runtime_error(line.substr(found + type.size()));
    }
    raw_rotations_ = rotations_;
    raw_weights_ = weights_;
    const at::Tensor identity = at::eye(3, rotations_.options());
    if (frames_ != 0 || !rotations_[0].equal(identity)) {
      raw_rotations_ = at::cat({identity.unsqueeze(0), rotations_});
      raw_weights_ = at::cat({at::zeros({1}, weights_.options()), weights_});
    }
    grid_step_ = step;
    weight_values_ = pet::to_vector(weights_);
    raw_weight_values_ = pet::to_vector(raw_weights_);
  }

  pet::Evaluation run(const std::vector<double> &positions, const std::array<double, 9> &cell,
                      const pet::Request &request)
  {
    const pet::Edges e = edges_.find(positions, cell);
    const auto outputs = module_
        .forward({numbers_, e.vectors, e.centers, e.neighbors, e.reverse, edges_.structures(),
                  owned_, std::int64_t{1}, request.raw ? raw_rotations_ : rotations_,
                  request.raw ? raw_weights_ : weights_, frames_,
                  // Ranks that exchange need the same number of passes: one per rotation.
                  exchanges_ ? std::int64_t{1} : max_edges_})
        .toTuple();
    const auto output = [&](int k) { return outputs->elements()[k].toTensor().detach(); };

    pet::Evaluation result;
    result.energy = output(0).sum().item<double>();
    result.atomic_energies = pet::to_vector(output(1));
    result.rotation_energies = pet::to_vector(output(3));
    edges_.set_forces(e, output(2), request, result);
    return result;
  }
};

}    // namespace

std::unique_ptr<pet::Archive> pet::Archive::open(const OpenOptions &options)
{
  return std::make_unique<TorchScriptArchive>(options);
}
