// SPDX-License-Identifier: BSD-3-Clause
//
// The arguments of `pair_style pet`.

#ifndef PET_SETTINGS_H
#define PET_SETTINGS_H

#include "archive.h"
#include "ensemble.h"

#include <string>
#include <vector>

namespace pet {

/// Whether ranks exchange messages: if they can, always, or never.
enum class ExchangeMode { AUTO, ON, OFF };

/// Whether the masses of atom types have to fit their elements.
enum class MassCheck { CHECKED, FREE };

struct Settings {
  OpenOptions open;
  MassCheck masses = MassCheck::CHECKED;
  ExchangeMode exchange = ExchangeMode::AUTO;
  Thresholds thresholds;
};

/// Parses `<archive>[+<archive>...]` and pairs of keyword and value, as described in pair_pet.h.
/// `threads` is 0 if it is not given.  Throws std::runtime_error with the wrong word and the
/// allowed ones.
Settings parse_settings(const std::vector<std::string> &words);

}    // namespace pet

#endif
