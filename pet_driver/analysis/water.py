"""MDAnalysis Universes of water with molecules as residues, from i-PI and LAMMPS.

MDAnalysis can guess bonds and fragments from distances, but not residues, which its analyses use as
molecules.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence

import MDAnalysis as mda
import numpy as np
from MDAnalysis.coordinates.timestep import Timestep
from MDAnalysis.lib.distances import calc_bonds, capped_distance
from MDAnalysis.transformations.base import TransformationBase

from pet_driver.analysis import lammps_reader  # noqa: F401  (registers its format)
from pet_driver.analysis.input_path import checked_path
from pet_driver.analysis.units import EV_TO_KJ_MOL
from pet_driver.common.labels import element_of, mass_of
from pet_driver.errors import PetDriverError

_MAX_BOND = 1.6  # A; longer than any covalent O-H, shorter than any hydrogen bond
_LAMMPS_SUFFIXES = (".lammpstrj", ".lammpsdump", ".dump")
# units of velocity in A/ps and of force in kJ/(mol A)
_LAMMPS_UNITS = {"metal": (1.0, EV_TO_KJ_MOL), "real": (1000.0, 4.184)}


def water_universe(
    trajectory: str | os.PathLike,
    format: str | None = None,
    *,
    species: Mapping[int, str] | None = None,
    lammps_units: str = "metal",
    timestep: float | None = None,
    masses: Mapping[str, float] | None = None,
    **reader,
) -> mda.Universe:
    """Return a Universe of water with types, elements, masses, bonds, and molecules as residues.

    If the atoms are in the order O H H and the first frame has O-H bonds in this order, molecules
    are consecutive atoms; otherwise each H belongs to the nearest O (with periodic images).

    Args:
        trajectory: positions written by i-PI (any format) or a dump of LAMMPS.
        format: ``"IPI"`` or ``"LAMMPSDUMP"``; by default it depends on the suffix (.lammpstrj,
            .lammpsdump and .dump are dumps of LAMMPS) and on the first line.
        species: element or isotope (such as D) of each LAMMPS type, by default
            ``{1: "O", 2: "H"}``; not used if the dump has a column ``element``.
        lammps_units: units of the dump, ``"metal"`` or ``"real"``, for velocities and forces.
        timestep: time step of the run in fs; ``None`` reads it from i-PI's ``.out`` file.
        masses: in amu by element or isotope; by default those of i-PI (O 15.9994, H 1.00794,
            D 2.0141), or those in the dump.
        reader: other keywords of the reader, such as ``velocities``, ``forces`` and ``centroid`` of
            :class:`pet_driver.analysis.IPIReader`.

    Raises:
        PetDriverError: the atoms are not water, or the trajectory cannot be read.
    """
    format = format or _format_of(checked_path(trajectory))
    if format == "LAMMPSDUMP":
        universe = _load_dump(trajectory, timestep, lammps_units, reader)
        names = _dump_labels(universe, species or {1: "O", 2: "H"})
    else:
        universe = _load_ipi(trajectory, format, timestep=timestep, **reader)
        names = universe.atoms.names
    # names distinguish isotopes, and so do the names of i-PI's properties
    elements = np.array([element_of(name) for name in names], dtype=object)
    weights = _masses(universe, names, masses, format)
    oxygens = find_molecules(universe.atoms.positions, elements, universe.dimensions)
    return _rebuild(universe, names, elements, weights, oxygens)


def _format_of(trajectory: str) -> str:
    with open(trajectory, "rb") as handle:
        is_dump = handle.read(6) == b"ITEM: "  # also of names such as dump.water
    return "LAMMPSDUMP" if is_dump or trajectory.endswith(_LAMMPS_SUFFIXES) else "IPI"


def _load_ipi(trajectory: str | os.PathLike, format: str, **reader) -> mda.Universe:
    try:
        return mda.Universe(os.fspath(trajectory), format=format, topology_format="IPI", **reader)
    except ValueError as error:  # MDAnalysis wraps the errors of its parsers
        if isinstance(error.__context__, PetDriverError):
            raise error.__context__ from None
        raise


def _load_dump(
    trajectory: str | os.PathLike, timestep: float | None, units: str, reader: dict
) -> mda.Universe:
    if units not in _LAMMPS_UNITS:
        raise PetDriverError(f"lammps_units must be 'metal' or 'real', not {units!r}")
    if timestep is None:
        warnings.warn(
            f"{trajectory}: a LAMMPS dump does not contain its time step; times count steps as "
            "1 fs. Give timestep= (fs)",
            stacklevel=4,
        )
        timestep = 1.0
    checked_path(trajectory)
    if os.path.getsize(trajectory) == 0:
        raise PetDriverError(f"{trajectory}: the file is empty")
    with warnings.catch_warnings():  # about masses, which are set by the caller
        warnings.filterwarnings("ignore", module="MDAnalysis.topology")
        try:
            universe = mda.Universe(
                os.fspath(trajectory),
                format="RESTARTEDDUMP",
                topology_format="LAMMPSDUMP",
                dt=timestep * 1.0e-3,
                **reader,
            )
        except PetDriverError:
            raise
        except (ValueError, IndexError, EOFError) as error:
            raise PetDriverError(
                f"{trajectory}: cannot be read as a dump of LAMMPS with the header lines TIMESTEP, "
                f"NUMBER OF ATOMS and BOX BOUNDS only (no dump_modify time or units): {error}"
            ) from None
    universe.trajectory.add_transformations(LAMMPSUnits(units))
    return universe


class LAMMPSUnits(TransformationBase):
    """Transformation of LAMMPS' velocities to A/ps and forces to kJ/(mol A).

    Args:
        units: ``"metal"`` or ``"real"``.
    """

    def __init__(self, units: str):
        super().__init__(max_threads=None, parallelizable=True)
        self.speed, self.force = _LAMMPS_UNITS[units]

    def _transform(self, ts: Timestep) -> Timestep:
        if ts.has_velocities:
            ts.velocities *= self.speed
        if ts.has_forces:
            ts.forces *= self.force
        return ts


def _dump_labels(universe: mda.Universe, species: Mapping[int, str]) -> np.ndarray:
    if hasattr(universe.atoms, "elements"):
        return universe.atoms.elements.astype(object)
    try:
        return np.array([species[int(kind)] for kind in universe.atoms.types], dtype=object)
    except (KeyError, ValueError) as error:
        raise PetDriverError(
            f"{universe.trajectory.filename}: no element for atom type {error}; "
            'give species={1: "O", 2: "H"} as in the run'
        ) from None


def _masses(
    universe: mda.Universe, names: np.ndarray, given: Mapping[str, float] | None, format: str
) -> np.ndarray:
    if given is not None:
        try:
            return np.array([given[n] if n in given else given[element_of(n)] for n in names])
        except KeyError as error:
            raise PetDriverError(f"masses has no entry for element {error}") from None
    if format == "LAMMPSDUMP" and "mass" in _dump_columns(universe.trajectory.filename):
        return universe.atoms.masses.copy()
    return np.array([mass_of(name) for name in names])


def _dump_columns(path: str) -> list[str]:
    with open(path, errors="replace") as handle:
        return next((line.split() for line in handle if line.startswith("ITEM: ATOMS")), [])


def find_molecules(
    positions: np.ndarray, elements: Sequence[str] | np.ndarray, cell: np.ndarray | None
) -> np.ndarray:
    """Return the molecule of each atom [N], numbered in the order of the oxygens.

    Args:
        positions: [N, 3] in A.
        elements: [N].
        cell: a, b, c (A), alpha, beta, gamma (degrees), or ``None``.

    Raises:
        PetDriverError: an element is not O or H, or an O does not have two H within 1.6 A.
    """
    symbols = np.asarray(elements, dtype=str)
    unknown = sorted(set(symbols) - {"O", "H"})
    if unknown or len(symbols) % 3:
        raise PetDriverError(
            f"{len(symbols)} atoms with elements {sorted(set(symbols.tolist()))} are not water; "
            "build another system's Universe with MDAnalysis.Universe(..., format='IPI')"
        )
    ordered = np.tile(["O", "H", "H"], len(symbols) // 3)
    if np.array_equal(symbols, ordered):
        triples = np.asarray(positions).reshape(-1, 3, 3)
        bonds = [calc_bonds(triples[:, 0], triples[:, k], box=cell) for k in (1, 2)]
        if max(bond.max() for bond in bonds) < _MAX_BOND:
            return np.repeat(np.arange(len(triples)), 3)
    return _nearest_oxygen(np.asarray(positions), symbols, cell)


def _nearest_oxygen(
    positions: np.ndarray, elements: np.ndarray, cell: np.ndarray | None
) -> np.ndarray:
    oxygens, hydrogens = np.nonzero(elements == "O")[0], np.nonzero(elements == "H")[0]
    pairs, lengths = capped_distance(positions[hydrogens], positions[oxygens], _MAX_BOND, box=cell)
    nearest = np.full(len(hydrogens), -1)
    order = np.argsort(lengths)[::-1]  # the shortest is assigned last
    nearest[pairs[order, 0]] = pairs[order, 1]
    owned = np.bincount(nearest[nearest >= 0], minlength=len(oxygens))
    if (nearest < 0).any() or (owned != 2).any():
        wrong = int(np.argmax(owned != 2))
        raise PetDriverError(
            f"the first frame is not water: oxygen {oxygens[wrong]} has {owned[wrong]} H within "
            f"{_MAX_BOND} A, {int((nearest < 0).sum())} H have no O; is the cell right?"
        )
    molecule = np.empty(len(elements), int)
    molecule[oxygens] = np.arange(len(oxygens))
    molecule[hydrogens] = nearest
    return molecule


def _rebuild(
    source: mda.Universe,
    names: np.ndarray,
    elements: np.ndarray,
    masses: np.ndarray,
    molecule: np.ndarray,
) -> mda.Universe:
    """Return a Universe with molecules as residues, on the trajectory of ``source``."""
    n_molecules = int(molecule.max()) + 1
    universe = mda.Universe.empty(
        len(elements), n_molecules, atom_resindex=molecule, residue_segindex=[0] * n_molecules
    )
    universe.add_TopologyAttr("names", names)
    for name in ("types", "elements"):
        universe.add_TopologyAttr(name, elements)
    universe.add_TopologyAttr("masses", masses)
    universe.add_TopologyAttr("resids", np.arange(n_molecules) + 1)
    universe.add_TopologyAttr("resnames", np.array(["HOH"] * n_molecules, dtype=object))
    universe.add_TopologyAttr("segids", ["WATER"])
    oxygen = np.empty(n_molecules, int)
    is_oxygen = np.asarray(elements, dtype=str) == "O"
    oxygen[molecule[is_oxygen]] = np.nonzero(is_oxygen)[0]
    hydrogens = np.nonzero(~is_oxygen)[0]
    bonds = np.column_stack([oxygen[molecule[hydrogens]], hydrogens])
    universe.add_TopologyAttr("bonds", [tuple(int(i) for i in bond) for bond in bonds])
    universe.trajectory = source.trajectory
    return universe
