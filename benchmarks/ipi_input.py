"""Inputs of i-PI for the benchmarks, with the forces evaluated in the i-PI process."""

from __future__ import annotations

INPUT = """<simulation verbosity="quiet" safe_stride="1000000"{attributes}>
  <output prefix="run"/>
  <total_steps> 1000000 </total_steps>
  <prng><seed> 31 </seed></prng>
  {forcefield}
  <system>
    <initialize nbeads="{beads}"><file mode="ase"> start.xyz </file>
      <velocities mode="thermal" units="kelvin"> 300 </velocities></initialize>
    <forces><force forcefield="pet"/></forces>
    <ensemble><temperature units="kelvin"> 300 </temperature></ensemble>
    <motion mode="dynamics"> {dynamics} </motion>
  </system>
</simulation>"""
NVE = """<dynamics mode="nve"><timestep units="femtosecond"> 0.5 </timestep></dynamics>"""
PILE = """<dynamics mode="nvt"><timestep units="femtosecond"> 0.5 </timestep>
      <thermostat mode="pile_l"><tau units="femtosecond"> 100 </tau></thermostat></dynamics>"""
FFDIRECT = """<ffdirect name="{name}"> <pes> {pes} </pes> {path}
  <batch_size> {batch} </batch_size>
  <parameters> {{{parameters}, template: start.xyz}} </parameters> </ffdirect>"""
FFROTATIONS = """<ffrotations name="pet">
  <grid_mode> legendre </grid_mode> <grid_order> 2 </grid_order> <inversion> True </inversion>
  {inner} </ffrotations>"""


def simulation(forcefield: str, beads: int = 1, attributes: str = "") -> str:
    """Return an input: NVE for one bead, a PILE thermostat for several.

    Args:
        forcefield: XML of a force field named "pet".
        beads: number of beads.
        attributes: further attributes of ``<simulation>``, each after a space.
    """
    dynamics = NVE if beads == 1 else PILE
    return INPUT.format(
        forcefield=forcefield, beads=beads, dynamics=dynamics, attributes=attributes
    )


def pet_ffdirect(parameters: str, name: str = "pet", batch: int = 1) -> str:
    """Return an ``<ffdirect>`` with the driver of this package."""
    from pet_driver.engines.ipi import shim_path

    path = f"<pes_path> {shim_path()} </pes_path>"
    return FFDIRECT.format(name=name, pes="custom", path=path, batch=batch, parameters=parameters)


def metatomic_ffdirect(parameters: str, name: str = "pet", batch: int = 1) -> str:
    """Return an ``<ffdirect>`` with the metatomic driver of i-PI."""
    return FFDIRECT.format(name=name, pes="metatomic", path="", batch=batch, parameters=parameters)


def ffrotations(inner: str) -> str:
    """Return an ``<ffrotations>`` in which i-PI averages a force field over the grid 2i."""
    return FFROTATIONS.format(inner=inner)
