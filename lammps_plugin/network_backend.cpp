// SPDX-License-Identifier: BSD-3-Clause

#include "network_backend.h"

#include "shared_rules.h"

#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/library.h>

#include <memory>
#include <string>

namespace {

// TorchScript calls a backend through an operator of torch, with the address of the backend as
// first argument.
pet::NetworkOutput differentiate(std::int64_t backend, const at::Tensor &species,
                                 const at::Tensor &vectors, const at::Tensor &factors,
                                 const at::Tensor &centers, const at::Tensor &neighbors,
                                 const at::Tensor &reverse, const at::Tensor &grad_outputs)
{
  return reinterpret_cast<pet::NetworkBackend *>(backend)->differentiate(
      {species, vectors, factors, centers, neighbors, reverse, grad_outputs});
}

// The build defines PET_OPERATORS, the namespace of operators.  Every plugin has its own, because
// one process may load several plugins, and the Python package besides.
TORCH_LIBRARY(PET_OPERATORS, library)
{
  library.def((std::string("differentiate") + pet::NETWORK_SCHEMA).c_str(), &differentiate);
}

// The last argument is named as in the archives of format version 2.
constexpr const char *DIFFERENTIATE = R"(
def differentiate(self, species: Tensor, vectors: Tensor, factors: Tensor, centers: Tensor,
                  neighbors: Tensor, reverse: Tensor,
                  seeds: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    return operators.differentiate(self.backend, species, vectors, factors, centers, neighbors,
                                   reverse, seeds)
)";

/// Makes "operators" in the code above the namespace PET_OPERATORS.
struct OperatorResolver : torch::jit::Resolver {
  std::shared_ptr<torch::jit::SugaredValue> resolveValue(const std::string &name,
                                                         torch::jit::GraphFunction &,
                                                         const torch::jit::SourceRange &) override
  {
    if (name != "operators") return nullptr;
    return std::make_shared<torch::jit::BuiltinModule>(C10_STRINGIZE(PET_OPERATORS));
  }
};

}    // namespace

void pet::NetworkBackend::attach_to(torch::jit::Module &archive)
{
  torch::jit::Module network("__torch__.NetworkBackend");
  network.register_attribute("backend", c10::IntType::get(), reinterpret_cast<std::int64_t>(this));
  network.define(DIFFERENTIATE, std::make_shared<OperatorResolver>());
  archive.setattr("network", network._ivalue());
}
