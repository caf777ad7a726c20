// SPDX-License-Identifier: BSD-3-Clause
//
// C++ code that evaluates the network of an archive in place of TorchScript.

#ifndef PET_NETWORK_BACKEND_H
#define PET_NETWORK_BACKEND_H

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <tuple>

namespace pet {

/// Arguments of a network; see DifferentiableNetwork in pet_driver/network/pet.py.
struct NetworkInput {
  at::Tensor species;                        // [N]
  at::Tensor vectors, factors;               // [E, 3], [E]
  at::Tensor centers, neighbors, reverse;    // [E]
  at::Tensor grad_outputs;                   // [N]
};

/// Energies [N], and gradients by vectors [E, 3] and by factors [E].
using NetworkOutput = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

class NetworkBackend {
 public:
  NetworkBackend() = default;
  virtual ~NetworkBackend() = default;
  NetworkBackend(const NetworkBackend &) = delete;
  NetworkBackend &operator=(const NetworkBackend &) = delete;

  virtual NetworkOutput differentiate(const NetworkInput &input) = 0;

  /// Replaces the network of an archive by this object, which must outlive the module.
  void attach_to(torch::jit::Module &archive);
};

}    // namespace pet

#endif
