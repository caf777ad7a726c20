// The kernels as an operator of torch, which TorchScript can call.

#include "kernels.h"

#include "interface.h"
#include "backend.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace {

constexpr std::int64_t MESSAGE_LENGTH = 500;

std::tuple<at::Tensor, at::Tensor, at::Tensor>
differentiate(std::int64_t handle, const at::Tensor &species, const at::Tensor &vectors,
              const at::Tensor &factors, const at::Tensor &centers, const at::Tensor &neighbors,
              const at::Tensor &reverse, const at::Tensor &seeds)
{
  return reinterpret_cast<const pet::Kernels *>(handle)->differentiate(
      species, vectors, factors, centers, neighbors, reverse, seeds);
}

/// For the kernels, which know no exceptions of others; the message lives until the next one.
const char *swap_rows(void *context, const void *outgoing, void *incoming, std::int64_t row_bytes)
{
  thread_local std::string message;
  try {
    static_cast<pet::Exchange *>(context)->swap(outgoing, incoming, row_bytes);
    return nullptr;
  } catch (const std::exception &failure) {
    message = failure.what();
    return message.c_str();
  }
}

TORCH_LIBRARY(PET_OPERATORS, library)
{
  library.def("differentiate" PET_NETWORK_SCHEMA, &differentiate);
}

constexpr const char *DIFFERENTIATE = R"(
def differentiate(self, species: Tensor, vectors: Tensor, factors: Tensor, centers: Tensor,
                  neighbors: Tensor, reverse: Tensor,
                  seeds: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    return operators.differentiate(self.handle, species, vectors, factors, centers, neighbors,
                                   reverse, seeds)
)";

/// Hands the weights of a network to the kernels; null, with a message, if they refuse.
void *create(const torch::jit::Module &network, std::string &message)
{
  std::vector<std::string> names;
  std::vector<at::Tensor> tensors;
  std::vector<std::int64_t> rows, columns;
  for (const auto &[name, tensor] : network.named_parameters()) {
    names.push_back(name);
    tensors.push_back(tensor.detach().to(at::kDouble).contiguous());
    rows.push_back(tensor.size(0));
    columns.push_back(tensor.numel() / tensor.size(0));
  }
  std::vector<const char *> name_pointers;
  std::vector<const double *> values;
  for (std::size_t k = 0; k < names.size(); k++) {
    name_pointers.push_back(names[k].c_str());
    values.push_back(tensors[k].const_data_ptr<double>());
  }
  const bool single = (*network.parameters().begin()).scalar_type() == at::kFloat;
  char text[MESSAGE_LENGTH] = "";
  void *handle = pet_create(single, static_cast<int>(network.attr("num_heads").toInt()),
                            network.attr("temperature").toDouble(), network.attr("pre_norm").toBool(),
                            "", static_cast<int>(names.size()), name_pointers.data(),
                            values.data(), rows.data(), columns.data(), text, MESSAGE_LENGTH);
  message = text;
  return handle;
}

}    // namespace

std::unique_ptr<pet::Kernels> pet::Kernels::attach(torch::jit::Module &module)
{
  const char *wish = std::getenv("PET_DRIVER_KERNELS");
  const std::string mode = wish ? wish : "auto";
  if (mode != "auto" && mode != "on" && mode != "off")
    throw std::runtime_error("PET_DRIVER_KERNELS is '" + mode + "': set it to auto, on or off");
  if (mode == "off") return nullptr;

  std::string message;
  void *network = create(module.attr("network").toModule(), message);
  if (network == nullptr && mode == "on")
    throw std::runtime_error("the kernels refuse the network: " + message);
  if (network == nullptr) return nullptr;
  std::unique_ptr<Kernels> kernels(new Kernels(network));

  torch::jit::Module backend("__torch__.KernelNetwork");
  backend.register_attribute("handle", c10::IntType::get(),
                              reinterpret_cast<std::int64_t>(kernels.get()));
  backend.define(DIFFERENTIATE, std::make_shared<OperatorResolver>());
  module.setattr("network", backend._ivalue());
  return kernels;
}

pet::Kernels::~Kernels() { pet_destroy(network_); }

void pet::Kernels::exchange_with(Exchange *exchange, std::int64_t owned)
{
  exchange_ = {exchange ? exchange->size() : 0, exchange, exchange ? swap_rows : nullptr};
  owned_ = owned;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor>
pet::Kernels::differentiate(const at::Tensor &species, const at::Tensor &vectors,
                            const at::Tensor &factors, const at::Tensor &centers,
                            const at::Tensor &neighbors, const at::Tensor &reverse,
                            const at::Tensor &seeds) const
{
  const auto indices = [](const at::Tensor &tensor) { return tensor.to(at::kLong).contiguous(); };
  const at::Tensor s = indices(species), c = indices(centers), n = indices(neighbors),
                   r = indices(reverse), v = vectors.contiguous(), f = factors.contiguous(),
                   w = seeds.to(at::kDouble).contiguous();
  const bool exchanges = exchange_.swap != nullptr;
  const at::Tensor energies = at::zeros({s.size(0)}, at::kDouble);
  const at::Tensor by_vector = at::empty_like(v), by_factor = at::empty_like(f);
  char message[MESSAGE_LENGTH] = "";
  const int failed = pet_run(
      network_, exchanges ? owned_ : s.size(0), c.size(0), s.const_data_ptr<std::int64_t>(),
      v.const_data_ptr(), f.const_data_ptr(), c.const_data_ptr<std::int64_t>(),
      n.const_data_ptr<std::int64_t>(), r.const_data_ptr<std::int64_t>(),
      w.const_data_ptr<double>(), exchanges ? &exchange_ : nullptr, at::get_num_threads(),
      energies.mutable_data_ptr<double>(), by_vector.mutable_data_ptr(),
      by_factor.mutable_data_ptr(), message, MESSAGE_LENGTH);
  if (failed) throw std::runtime_error(message);
  return {energies, by_vector, by_factor};
}

const char *pet::Kernels::level() const { return pet_level(network_); }
