// SPDX-License-Identifier: BSD-3-Clause

#include "kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr std::int64_t MESSAGE_LENGTH = 500;

/// The exchange as a C function, which must not throw.  The message is valid until the next call.
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

/// Copies the weights of a network into the kernels.  Returns null, with a message, if they do not
/// support it.
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
                            network.attr("temperature").toDouble(),
                            network.attr("pre_norm").toBool(), "", static_cast<int>(names.size()),
                            name_pointers.data(), values.data(), rows.data(), columns.data(), text,
                            MESSAGE_LENGTH);
  message = text;
  return handle;
}

}    // namespace

std::unique_ptr<pet::Kernels> pet::Kernels::attach(torch::jit::Module &archive)
{
  const char *value = std::getenv("PET_DRIVER_KERNELS");
  const std::string mode = value ? value : "auto";
  if (mode != "auto" && mode != "on" && mode != "off")
    throw std::runtime_error("PET_DRIVER_KERNELS is '" + mode + "': set it to auto, on or off");
  if (mode == "off") return nullptr;

  std::string message;
  void *network = create(archive.attr("network").toModule(), message);
  if (network == nullptr && mode == "on")
    throw std::runtime_error("the kernels cannot run the network: " + message);
  if (network == nullptr) return nullptr;
  std::unique_ptr<Kernels> kernels(new Kernels(network));
  kernels->attach_to(archive);
  return kernels;
}

pet::Kernels::~Kernels() { pet_destroy(network_); }

const char *pet::Kernels::instruction_set() const { return pet_instruction_set(network_); }

void pet::Kernels::exchange_with(Exchange *exchange, std::int64_t owned)
{
  exchange_ = {exchange ? exchange->size() : 0, exchange, exchange ? swap_rows : nullptr};
  owned_ = owned;
}

pet::NetworkOutput pet::Kernels::differentiate(const NetworkInput &input)
{
  const auto indices = [](const at::Tensor &tensor) { return tensor.to(at::kLong).contiguous(); };
  const at::Tensor species = indices(input.species), centers = indices(input.centers),
                   neighbors = indices(input.neighbors), reverse = indices(input.reverse),
                   vectors = input.vectors.contiguous(), factors = input.factors.contiguous(),
                   grad_outputs = input.grad_outputs.to(at::kDouble).contiguous();
  const bool exchanges = exchange_.swap != nullptr;
  const at::Tensor energies = at::zeros({species.size(0)}, at::kDouble);
  const at::Tensor by_vector = at::empty_like(vectors), by_factor = at::empty_like(factors);
  char message[MESSAGE_LENGTH] = "";
  const int failed = pet_run(
      network_, exchanges ? owned_ : species.size(0), centers.size(0),
      species.const_data_ptr<std::int64_t>(), vectors.const_data_ptr(), factors.const_data_ptr(),
      centers.const_data_ptr<std::int64_t>(), neighbors.const_data_ptr<std::int64_t>(),
      reverse.const_data_ptr<std::int64_t>(), grad_outputs.const_data_ptr<double>(),
      exchanges ? &exchange_ : nullptr, at::get_num_threads(),
      energies.mutable_data_ptr<double>(), by_vector.mutable_data_ptr(),
      by_factor.mutable_data_ptr(), message, MESSAGE_LENGTH);
  if (failed) throw std::runtime_error(message);
  return {energies, by_vector, by_factor};
}
