// Lets the C++ kernels stand in for the network of an archive on the CPU.

#ifndef PET_KERNELS_H
#define PET_KERNELS_H

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

 private:
  explicit Kernels(void *network) : network_(network) {}
  void *network_;
};

}    // namespace pet

#endif
