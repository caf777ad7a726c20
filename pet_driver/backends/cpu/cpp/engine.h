// SPDX-License-Identifier: BSD-3-Clause
//
// The C++ interface of the kernels: weights in, energies and gradients out.

#ifndef PET_ENGINE_H
#define PET_ENGINE_H

#include "graph.h"
#include "weights.h"

#include <memory>

namespace pet {

/// A network in one precision.  Several threads may evaluate it at once.
template <typename T> class Engine {
 public:
  virtual ~Engine() = default;

  /// The instruction set that it was compiled for.
  virtual const char *instruction_set() const = 0;

  /// Computes energies by atom [N], without scale and composition energies, and the gradients of
  /// sum_i grad_outputs[i] energies[i] by edge vectors [E, 3] and cutoff factors [E].
  virtual void run(const Graph<T> &graph, int threads, double *energies, T *dvectors,
                   T *dfactors) = 0;
};

/// Returns the fastest engine for this processor, or null if it supports none of the compiled
/// instruction sets.
template <typename T>
std::unique_ptr<Engine<T>> make_engine(const Weights &weights, const Options &options);

#define PET_DECLARE_INSTRUCTION_SET(name)                                                          \
  namespace name {                                                                                 \
  template <typename T>                                                                            \
  std::unique_ptr<Engine<T>> make_engine(const Weights &weights, const Options &options);          \
  }
PET_DECLARE_INSTRUCTION_SET(avx2)
PET_DECLARE_INSTRUCTION_SET(avx512)
PET_DECLARE_INSTRUCTION_SET(native)
#undef PET_DECLARE_INSTRUCTION_SET

}  // namespace pet

#endif
