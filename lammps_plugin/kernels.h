// Lets the C++ kernels stand in for the network of an archive on the CPU.

#ifndef PET_KERNELS_H
#define PET_KERNELS_H

#include "archive.h"
#include "interface.h"

#include <torch/csrc/jit/api/module.h>

#include <memory>

namespace pet {

/// The network in the kernels.  The module that it was attached to must not outlive it.
class Kernels {
 public:
  /// Null if the environment switches them off (PET_DRIVER_KERNELS=off), or the processor is too
  /// old and the environment does not insist (PET_DRIVER_KERNELS=on).
  static std::unique_ptr<Kernels> attach(torch::jit::Module &module);

  ~Kernels();
  Kernels(const Kernels &) = delete;
  Kernels &operator=(const Kernels &) = delete;

  /// The instruction set in use.
  const char *level() const;

  /// From now on nodes beyond ``owned`` stand for remote edges of ``exchange``, which may be null.
  void exchange_with(Exchange *exchange, std::int64_t owned);

  /// The operator that an archive calls, with what it says about the graph.
  std::tuple<at::Tensor, at::Tensor, at::Tensor>
  differentiate(const at::Tensor &species, const at::Tensor &vectors, const at::Tensor &factors,
                const at::Tensor &centers, const at::Tensor &neighbors, const at::Tensor &reverse,
                const at::Tensor &seeds) const;

 private:
  explicit Kernels(void *network) : network_(network) {}
  void *network_;
  pet_exchange exchange_{0, nullptr, nullptr};
  std::int64_t owned_ = 0;
};

}    // namespace pet

#endif
