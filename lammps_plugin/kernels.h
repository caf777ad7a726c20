// SPDX-License-Identifier: BSD-3-Clause
//
// The C++ kernels for CPUs as the network of an archive.

#ifndef PET_KERNELS_H
#define PET_KERNELS_H

#include "archive.h"
#include "interface.h"
#include "network_backend.h"

#include <memory>

namespace pet {

class Kernels : public NetworkBackend {
 public:
  /// Replaces the network of an archive by the kernels.  Returns null if the environment switches
  /// them off (PET_DRIVER_KERNELS=off), or if they do not support the network or the processor and
  /// the environment does not demand them (PET_DRIVER_KERNELS=on).  Throws std::runtime_error.
  static std::unique_ptr<Kernels> attach(torch::jit::Module &archive);

  ~Kernels() override;

  /// Returns the name of the instruction set in use.
  const char *instruction_set() const;

  /// Makes nodes beyond the first `owned` ones the neighbours of remote edges of `exchange`, which
  /// may be null.
  void exchange_with(Exchange *exchange, std::int64_t owned);

  NetworkOutput differentiate(const NetworkInput &input) override;

 private:
  explicit Kernels(void *network) : network_(network) {}
  void *network_;
  pet_exchange exchange_{0, nullptr, nullptr};
  std::int64_t owned_ = 0;
};

}    // namespace pet

#endif
