// SPDX-License-Identifier: BSD-3-Clause
//
// The kernels for one instruction set and one precision; compiled once for each combination.

#include "engine.h"
#include "evaluation.h"

#include <memory>
#include <mutex>
#include <utility>

namespace pet::PET_INSTRUCTION_SET {

template <typename T> class NetworkEngine : public Engine<T> {
 public:
  NetworkEngine(const Weights &weights, const Options &options) : network_(weights, options) {}

  const char *instruction_set() const override
  {
#define PET_TEXT(word) #word
#define PET_NAME(word) PET_TEXT(word)
    return PET_NAME(PET_INSTRUCTION_SET);
  }

  void run(const Graph<T> &graph, int threads, double *energies, T *dvectors, T *dfactors) override
  {
    std::unique_ptr<Evaluation<T>> evaluation = take();
    evaluation->run(network_, graph, threads, energies, dvectors, dfactors);
    give_back(std::move(evaluation));
  }

 private:
  Network<T> network_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Evaluation<T>>> idle_;  // kept for the memory that they own

  std::unique_ptr<Evaluation<T>> take()
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (idle_.empty()) return std::make_unique<Evaluation<T>>();
    std::unique_ptr<Evaluation<T>> evaluation = std::move(idle_.back());
    idle_.pop_back();
    return evaluation;
  }

  void give_back(std::unique_ptr<Evaluation<T>> evaluation)
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(evaluation));
  }
};

template <typename T>
std::unique_ptr<Engine<T>> make_engine(const Weights &weights, const Options &options)
{
  return std::make_unique<NetworkEngine<T>>(weights, options);
}

template std::unique_ptr<Engine<PET_REAL>> make_engine(const Weights &, const Options &);

}  // namespace pet::PET_INSTRUCTION_SET
