// What a rank finds out about its node: who else is there, and which CPUs they share.

#ifndef PET_NODE_H
#define PET_NODE_H

#include <array>
#include <cstdint>

namespace pet {

/// CPUs by number, one bit each.
using CPUs = std::array<std::uint64_t, 16>;

/// The CPUs that this process may use: those of its cgroup, or what the launcher bound it to.  Empty
/// where the system does not tell.
CPUs allowed_cpus();

/// Threads for torch: OMP_NUM_THREADS where it is set, else the CPUs of this rank, and no more than
/// its share of those that `ranks` of this node may use together.
int default_threads(const CPUs &own, const CPUs &together, int ranks);

/// Rank and number of ranks on this node as the launcher (hydra, Open MPI, Slurm) gives them; -1
/// where it gives none.
int launcher_local_rank();
int launcher_local_size();

}    // namespace pet

#endif
