// SPDX-License-Identifier: BSD-3-Clause

#include "allocator.h"

#include "shared_rules.h"

#ifdef __GLIBC__
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#endif

void pet::keep_freed_memory()
{
#ifdef __GLIBC__
  for (char **variable = environ; *variable != nullptr; variable++)
    for (const char *beginning : ALLOCATOR_VARIABLES)
      if (std::string_view(*variable).starts_with(beginning)) return;
  const auto accepted = [](int size) { return mallopt(MALLOPT_MMAP_THRESHOLD, size) != 0; };
  if (std::ranges::any_of(LARGEST_MMAP_THRESHOLDS, accepted))
    for (const auto &[parameter, value] : MALLOPT_SETTINGS) mallopt(parameter, value);
#endif
}
