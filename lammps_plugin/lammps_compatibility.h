// SPDX-License-Identifier: GPL-2.0-or-later
//
// Everything that depends on the version of LAMMPS, or that its installed headers do not declare.

#ifndef PET_LAMMPS_COMPATIBILITY_H
#define PET_LAMMPS_COMPATIBILITY_H

#include "comm.h"
#include "lammps.h"
#include "library.h"
#include "lmptype.h"

extern "C" {

/// The struct that a plugin passes to LAMMPS for every style that it adds.  The LAMMPS of the
/// Python package index does not ship its header, lammpsplugin.h.  The layout is documented in the
/// LAMMPS manual, "Writing plugins".
struct PluginDescription {
  const char *version;                // LAMMPS version that the plugin was built for
  const char *style;                  // kind of style: "pair"
  const char *name;                   // name of the style in input files: "pet"
  const char *info;                   // one line for `plugin list`
  const char *author;
  void *(*create)(void *lammps);      // creates an instance; a pair style gets the LAMMPS pointer
  void *handle;                       // the shared object, as passed to lammpsplugin_init
};

using RegisterPlugin = void (*)(PluginDescription *, void *lammps);
}

namespace LAMMPS_NS {

/// Returns whether the plugin was built for this LAMMPS.  Another version, or one with other
/// integer sizes, has other class layouts.  The build defines PET_LAMMPS_VERSION, such as 20250722.
inline bool fits(void *lammps)
{
  return static_cast<LAMMPS *>(lammps)->num_ver == PET_LAMMPS_VERSION &&
      lammps_extract_setting(lammps, "tagint") == sizeof(tagint);
}

/// Access to the group of `comm_modify group`, which is a protected member of Comm.
struct BorderGroup : Comm {
  static int of(const Comm &comm) { return comm.*&BorderGroup::bordergroup; }
};

}    // namespace LAMMPS_NS

#endif
