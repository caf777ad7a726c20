// SPDX-License-Identifier: BSD-3-Clause
//
// The C interface of the kernels.

#include "interface.h"

#include "engine.h"

#include <cstdio>
#include <exception>
#include <memory>
#include <new>

namespace {

struct Handle {
  std::unique_ptr<pet::Engine<float>> single;
  std::unique_ptr<pet::Engine<double>> dual;
};

/// Calls ``function``.  Returns 0, or 1 with the message of its exception in ``error``.
template <typename Function> int guarded(char *error, std::int64_t size, Function &&function)
{
  try {
    function();
    return 0;
  } catch (const std::bad_alloc &) {
    std::snprintf(error, size, "out of memory: lower max_edges");
  } catch (const std::exception &failure) {
    std::snprintf(error, size, "%s", failure.what());
  }
  return 1;
}

template <typename T>
void run(pet::Engine<T> &engine, std::int64_t n_atoms, std::int64_t n_edges,
         const std::int64_t *species, const void *vectors, const void *factors,
         const std::int64_t *centers, const std::int64_t *neighbors, const std::int64_t *reverse,
         const double *grad_outputs, const pet_exchange *exchange, int threads, double *energies,
         void *dvectors, void *dfactors)
{
  const pet::Graph<T> graph{n_atoms,
                            n_edges,
                            species,
                            static_cast<const T *>(vectors),
                            static_cast<const T *>(factors),
                            centers,
                            neighbors,
                            reverse,
                            grad_outputs,
                            exchange};
  engine.run(graph, threads, energies, static_cast<T *>(dvectors), static_cast<T *>(dfactors));
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void *
pet_create(int single, int num_heads, double temperature, int pre_norm, const char *instruction_set,
           int count, const char *const *names, const double *const *values,
           const std::int64_t *rows, const std::int64_t *columns, char *error, std::int64_t size)
{
  std::unique_ptr<Handle> handle;
  const int failed = guarded(error, size, [&] {
    pet::Weights weights;
    for (int k = 0; k < count; k++)
      weights.add(names[k], {rows[k], columns[k], {values[k], values[k] + rows[k] * columns[k]}});
    const pet::Options options{num_heads, temperature, pre_norm != 0, instruction_set};
    handle = std::make_unique<Handle>();
    if (single) handle->single = pet::make_engine<float>(weights, options);
    else handle->dual = pet::make_engine<double>(weights, options);
  });
  if (failed) return nullptr;
  if (handle->single || handle->dual) return handle.release();
  std::snprintf(error, size, "this processor has no AVX2");
  return nullptr;
}

__attribute__((visibility("default"))) void pet_destroy(void *handle)
{
  delete static_cast<Handle *>(handle);
}

__attribute__((visibility("default"))) const char *pet_instruction_set(void *handle)
{
  const auto *networks = static_cast<Handle *>(handle);
  if (networks->single) return networks->single->instruction_set();
  return networks->dual->instruction_set();
}

__attribute__((visibility("default"))) int
pet_run(void *handle, std::int64_t n_atoms, std::int64_t n_edges, const std::int64_t *species,
        const void *vectors, const void *factors, const std::int64_t *centers,
        const std::int64_t *neighbors, const std::int64_t *reverse, const double *grad_outputs,
        const pet_exchange *exchange, int threads, double *energies, void *dvectors,
        void *dfactors, char *error, std::int64_t size)
{
  auto *networks = static_cast<Handle *>(handle);
  return guarded(error, size, [&] {
    if (networks->single)
      run(*networks->single, n_atoms, n_edges, species, vectors, factors, centers, neighbors,
          reverse, grad_outputs, exchange, threads, energies, dvectors, dfactors);
    else
      run(*networks->dual, n_atoms, n_edges, species, vectors, factors, centers, neighbors, reverse,
          grad_outputs, exchange, threads, energies, dvectors, dfactors);
  });
}
}
