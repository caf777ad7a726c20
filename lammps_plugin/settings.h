// The arguments of `pair_style pet`.

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

}    // namespace pet

#endif
