// Lets a network that torch compiled ahead of time stand in for that of an archive.

#ifndef PET_COMPILED_H
#define PET_COMPILED_H

#include <ATen/core/Tensor.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <string>
#include <tuple>

namespace pet {

/// A compiled network.  The module that it was attached to must not outlive it.
class Compiled {
 public:
  /// Null, with the reason in ``note`` if there is one, where the archive holds none for here.
  ///
  /// ``package`` is the entry of the archive that holds it.
  static std::unique_ptr<Compiled> attach(torch::jit::Module &module, const std::string &package,
                                          at::Device device, std::string &note);

  /// The operator that an archive calls.
  std::tuple<at::Tensor, at::Tensor, at::Tensor>
  differentiate(const at::Tensor &species, const at::Tensor &vectors, const at::Tensor &factors,
                const at::Tensor &centers, const at::Tensor &neighbors, const at::Tensor &reverse,
                const at::Tensor &seeds);

 private:
  Compiled(const std::string &path, c10::DeviceIndex index) : loader_(path, "model", false, 1, index)
  {
  }
  torch::inductor::AOTIModelPackageLoader loader_;
};

}    // namespace pet

#endif
