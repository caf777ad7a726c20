// SPDX-License-Identifier: GPL-2.0-or-later
//
// Registers the pair style with LAMMPS, which loads every `*plugin.so` in the folders of
// LAMMPS_PLUGIN_PATH and calls lammpsplugin_init once.

#include "lammps_compatibility.h"
#include "pair_pet.h"

#include <cstdio>

static void *create_pair_pet(void *lammps)
{
  auto *pair = new LAMMPS_NS::PairPET(static_cast<LAMMPS_NS::LAMMPS *>(lammps));
  return static_cast<LAMMPS_NS::Pair *>(pair);
}

extern "C" __attribute__((visibility("default")))
void lammpsplugin_init(void *lammps, void *handle, void *register_function)
{
  const auto *lmp = static_cast<LAMMPS_NS::LAMMPS *>(lammps);
  if (!LAMMPS_NS::fits(lammps)) {
    std::fprintf(stderr, "pet-driver: this plugin is for LAMMPS %d with %zu-byte atom IDs, and not "
                 "for this LAMMPS (%d): there is no pair_style pet. Use the lmp of the environment "
                 "that pet-driver is in, or unset LAMMPS_PLUGIN_PATH\n",
                 PET_LAMMPS_VERSION, sizeof(LAMMPS_NS::tagint), lmp->num_ver);
    return;
  }
  PluginDescription description;
  description.version = lmp->version;
  description.style = "pair";
  description.name = "pet";
  description.info = "PET: point edge transformer potentials, averaged over rotations on request";
  description.author = "the authors of pet-driver";
  description.create = create_pair_pet;
  description.handle = handle;
  reinterpret_cast<RegisterPlugin>(register_function)(&description, lammps);
}
