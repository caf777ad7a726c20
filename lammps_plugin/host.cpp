// SPDX-License-Identifier: BSD-3-Clause

#include "host.h"

#include <sched.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <thread>

namespace {

int first_set(std::initializer_list<const char *> variables)
{
  for (const char *variable : variables) {
    const char *value = std::getenv(variable);
    if (value != nullptr && *value >= '0' && *value <= '9') return std::atoi(value);
  }
  return -1;
}

/// Returns the number of CPUs in the set, or of all CPUs of the host if the set is empty.
int number_of(const pet::CPUs &cpus)
{
  int number = 0;
  for (const std::uint64_t word : cpus) number += std::popcount(word);
  return number > 0 ? number : static_cast<int>(std::thread::hardware_concurrency());
}

}    // namespace

pet::CPUs pet::allowed_cpus()
{
  CPUs cpus{};
  static_assert(sizeof(cpus) == sizeof(cpu_set_t));
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) std::memcpy(cpus.data(), &set, sizeof(set));
  return cpus;
}

int pet::default_threads(const CPUs &own, const CPUs &all, int ranks)
{
  const int requested = first_set({"OMP_NUM_THREADS"});
  if (requested > 0) return requested;
  const int share = number_of(all) / std::max(1, ranks);
  return std::max(1, std::min(number_of(own), share));
}

int pet::launcher_local_rank()
{
  return first_set({"MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"});
}

int pet::launcher_local_size()
{
  return first_set({"MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE"});
}
