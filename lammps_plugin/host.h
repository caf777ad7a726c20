// SPDX-License-Identifier: BSD-3-Clause
//
// Ranks and CPUs of this host (the computer, often called a node).

#ifndef PET_HOST_H
#define PET_HOST_H

#include <array>
#include <cstdint>

namespace pet {

/// A set of CPUs, one bit per number.
using CPUs = std::array<std::uint64_t, 16>;

/// Returns the CPUs that this process may use, given its cgroup and the binding by the launcher.
/// Empty if the system does not tell.
CPUs allowed_cpus();

/// Returns the number of threads for torch: OMP_NUM_THREADS if it is set, else the number of CPUs
/// of this rank, but at most its share of the CPUs of all `ranks` on this host.
int default_threads(const CPUs &own, const CPUs &all, int ranks);

/// Return the rank and the number of ranks on this host, as the launcher (hydra, Open MPI, Slurm)
/// gives them, or -1.
int launcher_local_rank();
int launcher_local_size();

}    // namespace pet

#endif
