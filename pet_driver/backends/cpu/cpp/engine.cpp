// SPDX-License-Identifier: BSD-3-Clause
//
// Chooses the instruction set at run time, because one binary serves all machines of a cluster.

#include "engine.h"

#include <stdexcept>

namespace pet {

namespace {

template <typename T>
std::unique_ptr<Engine<T>> make_best_engine(const Weights &weights, const Options &options)
{
#if defined(__x86_64__)
  if (options.instruction_set != "avx2" && __builtin_cpu_supports("avx512f") &&
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
  const std::string &wanted = options.instruction_set;
  if (engine && !wanted.empty() && wanted != engine->instruction_set())
    throw std::invalid_argument("this processor does not support the instruction set " + wanted +
                                "; the best is " + engine->instruction_set());
  return engine;
}

template std::unique_ptr<Engine<float>> make_engine(const Weights &, const Options &);
template std::unique_ptr<Engine<double>> make_engine(const Weights &, const Options &);

}  // namespace pet
