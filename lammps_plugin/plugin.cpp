// SPDX-License-Identifier: GPL-2.0-or-later
//
// Registers the pair style with LAMMPS.  LAMMPS loads every `*plugin.so` that it finds in the
// folders of LAMMPS_PLUGIN_PATH and calls lammpsplugin_init once.

#include "lammps_abi.h"
#include "pair_pet.h"

static void *create_pair_pet(void *lammps)
{
  auto *pair = new LAMMPS_NS::PairPET(static_cast<LAMMPS_NS::LAMMPS *>(lammps));
  return static_cast<LAMMPS_NS::Pair *>(pair);
}

extern "C" __attribute__((visibility("default")))
void lammpsplugin_init(void *lammps, void *handle, void *register_function)
{
  const auto *lmp = static_cast<LAMMPS_NS::LAMMPS *>(lammps);
  // LAMMPS warns where the texts differ: classes of another version have another layout.
  const bool same = lmp->num_ver == PET_LAMMPS_VERSION;

  PluginDescription description;
  description.version = same ? lmp->version : "another LAMMPS (build the plugin again)";
  description.style = "pair";
  description.name = "pet";
  description.info = "PET: point edge transformer potentials, averaged over rotations on request";
  description.author = "the authors of pet-driver";
  description.create = create_pair_pet;
  description.handle = handle;
  reinterpret_cast<RegisterPlugin>(register_function)(&description, lammps);
}
