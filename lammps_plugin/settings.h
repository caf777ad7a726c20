// The arguments of `pair_style pet`, and what a rank finds out about its node.

#ifndef PET_SETTINGS_H
#define PET_SETTINGS_H

#include "archive.h"
#include "ensemble.h"

#include <string>
#include <vector>

namespace pet {

/// Whether ranks exchange messages: where they can, always, or never.
enum class ExchangeMode { AUTO, ON, OFF };

struct Settings {
  OpenOptions open;
  ExchangeMode exchange = ExchangeMode::AUTO;
  Thresholds thresholds;
};

/// Reads `<archive>[+<archive>...]` and pairs of keyword and value; pair_pet.h says which.  Throws
/// std::runtime_error that names the word and what may stand there.  `threads` stays 0 where none
/// is given.
Settings parse_settings(const std::vector<std::string> &words);

/// Threads for torch: OMP_NUM_THREADS where it is set, else the cores shared by the node's ranks.
int default_threads(int ranks_on_node);

/// Rank and number of ranks on this node as the launcher (hydra, Open MPI, Slurm) gives them; -1
/// where it gives none.
int launcher_local_rank();
int launcher_local_size();

}    // namespace pet

#endif
