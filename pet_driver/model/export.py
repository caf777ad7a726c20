"""Export of a trained checkpoint to an archive, with a check of its energies."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import covalent_radii

from pet_driver.checkpoints import Source, read_checkpoint
from pet_driver.errors import PetDriverError
from pet_driver.model import shipped
from pet_driver.model.archive import Archive, save
from pet_driver.model.evaluator import Model
from pet_driver.neighbors.batches import AtomBatch
from pet_driver.neighbors.neighbor_list import find_edges
from pet_driver.neighbors.structure import Structure
from pet_driver.symmetry import SymmetrizedPotential

# Largest error (eV/atom) of an exported archive on the check structure, by its precision.
TOLERANCE = {"float64": 4e-11, "float32": 4e-5}


@dataclass(frozen=True)
class Check:
    """Check of an export: energies of one structure by two programs, eV.

    Attributes:
        archive: energy by the exported model.
        source: energy by the code that trained the network, or by this network in float64.
        by: which of the two, in words.
        n_atoms: number of atoms of the structure.
    """

    archive: float
    source: float
    by: str
    n_atoms: int

    @property
    def error(self) -> float:
        """Absolute difference of the two energies, eV."""
        return abs(self.archive - self.source)


def export(
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    grid: str | None = None,
    dtype: str | None = None,
    target: str | None = None,
    compile_for: str | None = None,
) -> Check:
    """Export a checkpoint to an archive, and compare energies of the two.

    Args:
        checkpoint: a metatrain checkpoint, a directory of the 2023 PET, or an archive (or the
            name of a shipped one) that is exported again with another grid or precision.
        out: path of the new archive.
        grid: default grid of rotations; every run can choose another. ``None``: that of the
            archive, or ``"0"`` for a checkpoint.
        dtype: precision of the network, ``"float32"`` or ``"float64"``; ``None``: that of the
            archive, or ``"float32"`` for a checkpoint.
        target: name of the energy in a metatrain checkpoint that has several.
        compile_for: a device, ``"cpu"`` or ``"cuda"``, to compile the network for. The archive is
            then faster on machines like this one, and runs like any other elsewhere.

    Raises:
        PetDriverError: the checkpoint cannot be read or mapped; it has several energies and
            ``target`` names none of them, or one energy and ``target`` is another; the network
            cannot be compiled; the archive does not reproduce the checkpoint. An existing file at
            ``out`` is then left as it was.
    """
    out = Path(out)
    if not out.parent.is_dir():
        raise PetDriverError(f"the folder of {out} does not exist")
    if out.is_dir():
        raise PetDriverError(f"{out} is a folder; name the archive's file")
    source, own = _read(checkpoint, target)
    grid = own["default_grid"] if grid is None else grid
    dtype = own["dtype"] if dtype is None else dtype
    unchecked = out.with_name(out.name + ".unchecked")
    try:
        save(source, unchecked, grid, dtype, compile_for)
        check = _compare(source, unchecked, compile_for or "cpu")
        if not check.error < TOLERANCE[dtype] * check.n_atoms:
            raise PetDriverError(
                f"the archive gives {check.archive} eV where {check.by} gives {check.source} eV; "
                f"{out} was not written"
            )
        os.replace(unchecked, out)
    finally:
        unchecked.unlink(missing_ok=True)
    return check


def _read(checkpoint: str | os.PathLike, target: str | None) -> tuple[Source, Mapping[str, Any]]:
    """Return the model, and metadata with its default grid and precision."""
    path = Path(checkpoint)
    if not path.exists() and str(checkpoint) not in shipped.shipped_models():
        raise PetDriverError(
            f"there is no checkpoint at {path}, and no single model of that name ships with "
            f"pet-driver ({', '.join(shipped.shipped_models())})"
        )
    is_shipped = str(checkpoint) in shipped.shipped_models() and not path.exists()
    if not is_shipped and not (path.is_file() and path.suffix == ".pt"):
        return read_checkpoint(path, target), {"default_grid": "0", "dtype": "float32"}
    if target is not None:
        raise PetDriverError(
            f"target {target!r}: the archive {checkpoint} has one energy; choose the target where "
            "it is exported from its checkpoint"
        )
    archive = Archive.load(checkpoint if is_shipped else path)
    return archive.source(), archive.metadata


def _compare(source: Source, out: Path, device: str) -> Check:
    """Check an archive at ordinary and, for ZBL, at close distances; return the worst check."""
    structures = [check_structure(source.atomic_numbers)]
    if source.zbl_radii is not None:
        structures.append(close_pairs(source.atomic_numbers))
    model = Model(Archive.load(out, device), device)
    checks = []
    for structure in structures:
        batch = AtomBatch.from_structures([structure])
        energy = float(model.compute_batch(batch, "0", 0).energies[0])  # may be NaN
        if source.reference is not None:
            found, by = source.reference(structure), "the code that trained it"
        else:
            found, by = _eager_energy(source, structure), "the network in float64"
        checks.append(Check(energy, found, by, len(structure.numbers)))
    # NaN is the worst error, but does not compare as the largest.
    return max(checks, key=lambda c: (math.isnan(c.error), c.error / c.n_atoms))


def check_structure(atomic_numbers: list[int], n_atoms: int = 24) -> Structure:
    """Return a small periodic structure with every species at ordinary distances."""
    rng = np.random.default_rng(0)
    repeats = -(-n_atoms // len(atomic_numbers))
    numbers = np.array((list(atomic_numbers) * repeats)[: max(n_atoms, len(atomic_numbers))])
    side = int(np.ceil(len(numbers) ** (1 / 3)))
    sites = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = 2.0 * sites[: len(numbers)] + rng.uniform(-0.5, 0.5, (len(numbers), 3))
    return Structure(numbers, positions, 2.0 * side * np.eye(3), (True, True, True))


def close_pairs(atomic_numbers: list[int]) -> Structure:
    """Return pairs of each element with itself and with the next one, closer than a bond.

    The pairs are far from each other.
    """
    pairs = [(z, z) for z in atomic_numbers] + list(pairwise(atomic_numbers))
    positions = np.zeros((len(pairs), 2, 3))
    positions[:, :, 0] = 100.0 * np.arange(len(pairs))[:, None]
    positions[:, 1, 1] = [0.7 * (covalent_radii[a] + covalent_radii[b]) for a, b in pairs]
    numbers = np.array(pairs).reshape(-1)
    return Structure(numbers, positions.reshape(-1, 3), np.zeros((3, 3)), (False, False, False))


def _eager_energy(source: Source, structure: Structure) -> float:
    """Return the energy (eV) by the network in Python, without TorchScript, in float64."""
    potential = SymmetrizedPotential(source.build(torch.float64), source.parameters(torch.float64))
    edges = find_edges(structure, source.hypers.cutoff)
    n_atoms = len(structure.numbers)
    energies, *_ = potential(
        torch.as_tensor(structure.numbers),
        *(torch.as_tensor(a) for a in (edges.vectors, edges.centers, edges.neighbors)),
        torch.as_tensor(edges.reverse),
        torch.zeros(n_atoms, dtype=torch.int64),
        torch.ones(n_atoms, dtype=torch.bool),
        1,
        *potential.grid("0"),
        len(edges.centers),
    )
    return float(energies[0])
