// Chooses the level of the instruction set when the program runs, as one binary has to serve all
// machines of a cluster.

#include "engine.h"

#include <stdexcept>

namespace pet {

namespace {

template <typename T>
std::unique_ptr<Engine<T>> make_best_engine(const Weights &weights, const Options &options)
{
#if defined(__x86_64__)
  if (options.level != "avx2" && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq"))
    return avx512::make_engine<T>(weights, options);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return avx2::make_engine<T>(weights, options);
  return nullptr;
#else
  return native::make_engine<T>(weights, options);
#endif
}

}  // namespace

template <typename T>
std::unique_ptr<Engine<T>> make_engine(const Weights &weights, const Options &options)
{
  auto engine = make_best_engine<T>(weights, options);
  if (engine && !options.level.empty() && options.level != engine->level())
    throw std::invalid_argument("there is no instruction set " + options.level +
                                " here; the best is " + engine->level());
  return engine;
}

template std::unique_ptr<Engine<float>> make_engine(const Weights &, const Options &);
template std::unique_ptr<Engine<double>> make_engine(const Weights &, const Options &);

}  // namespace pet
