// What the rest of the world sees of the kernels: weights in, energies and gradients out.

#ifndef PET_ENGINE_H
#define PET_ENGINE_H

#include "graph.h"
#include "weights.h"

#include <memory>

namespace pet {

/// A network for one precision, ready to evaluate.  May be used by several threads at once.
template <typename T> class Engine {
 public:
  virtual ~Engine() = default;

  /// The instruction set it was compiled for.
  virtual const char *level() const = 0;

  /// Energies by atom [N], without scale and composition, and the gradients by vectors [E, 3] and
  /// factors [E] of the sum of seeds times energies.
  virtual void run(const Graph<T> &graph, int threads, double *energies, T *dvectors,
                   T *dfactors) = 0;
};

/// The engine for the processor at hand; null where it lacks what every level asks for.
template <typename T>
std::unique_ptr<Engine<T>> make_engine(const Weights &weights, const Options &options);

#define PET_DECLARE_LEVEL(name)                                                                    \
  namespace name {                                                                                 \
  template <typename T>                                                                            \
  std::unique_ptr<Engine<T>> make_engine(const Weights &weights, const Options &options);          \
  }
PET_DECLARE_LEVEL(avx2)
PET_DECLARE_LEVEL(avx512)
PET_DECLARE_LEVEL(native)
#undef PET_DECLARE_LEVEL

}  // namespace pet

#endif
