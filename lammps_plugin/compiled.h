// SPDX-License-Identifier: BSD-3-Clause
//
// A network that torch compiled ahead of time (AOTInductor) as the network of an archive.

#ifndef PET_COMPILED_H
#define PET_COMPILED_H

#include "network_backend.h"

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <memory>
#include <string>

namespace pet {

class Compiled : public NetworkBackend {
 public:
  /// Replaces the network of an archive by the compiled one in `package`, the content of an entry
  /// of the file.  Returns null if the archive has none for this machine; `note` then receives the
  /// reason, if the user should know it.
  static std::unique_ptr<Compiled> attach(torch::jit::Module &archive, const std::string &package,
                                          at::Device device, std::string &note);

  NetworkOutput differentiate(const NetworkInput &input) override;

 private:
  Compiled(const std::string &path, c10::DeviceIndex index, torch::jit::Module plain);
  torch::inductor::AOTIModelPackageLoader loader_;
  torch::jit::Module plain_;    // in TorchScript, for graphs that the compiled network cannot take
};

}    // namespace pet

#endif
