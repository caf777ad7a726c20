"""From a trained checkpoint to an archive, checked against what it was made from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pet_driver import models
from pet_driver.archive import Archive, save
from pet_driver.checkpoints import Source, read_checkpoint
from pet_driver.errors import PetDriverError
from pet_driver.evaluator import Model
from pet_driver.neighbors import Structure, find_edges
from pet_driver.symmetry import SymmetrizedPotential

# Largest error (eV an atom) of an exported archive on the check structure, by its precision.
TOLERANCE = {"float64": 4e-11, "float32": 4e-5}


@dataclass(frozen=True)
class Check:
    """The self-check of an export: energies in eV of one structure.

    Attributes:
        archive: by the written file.
        source: by the code that trained the network, or by this network in float64.
        by: which of the two.
        n_atoms: of the structure.
    """

    archive: float
    source: float
    by: str
    n_atoms: int

    @property
    def error(self) -> float:
        return abs(self.archive - self.source)


def export(
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    grid: str = "0",
    dtype: str = "float32",
    target: str | None = None,
    compile_for: str | None = None,
) -> Check:
    """Write an archive from a checkpoint, and compare the two.

    Args:
        checkpoint: a metatrain checkpoint, a directory of the 2023 PET, or an archive (or the
            name of a shipped one) to be written anew with another grid or precision.
        out: the archive to write.
        grid: average over this grid by default; every run can still choose another.
        dtype: precision of the network, ``"float32"`` or ``"float64"``.
        target: name of the energy in the checkpoint, where it has several.
        compile_for: a device, ``"cpu"`` or ``"cuda"``, to compile the network for: an archive
            that is faster on machines like this one, and as good as any other elsewhere.

    Raises:
        PetDriverError: the checkpoint cannot be read or mapped, the network cannot be compiled, or
            the archive does not reproduce the checkpoint; what lay at ``out`` is then still there.
    """
    out = Path(out)
    if not out.parent.is_dir():
        raise PetDriverError(f"the folder of {out} does not exist")
    if out.is_dir():
        raise PetDriverError(f"{out} is a folder; name the archive's file")
    source = _read(checkpoint, target)
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


def _read(checkpoint: str | os.PathLike, target: str | None) -> Source:
    path = Path(checkpoint)
    if str(checkpoint) in models.shipped() and not path.exists():
        return Archive.load(checkpoint).source()
    if path.is_file() and path.suffix == ".pt":
        return Archive.load(path).source()
    return read_checkpoint(path, target)


def _compare(source: Source, out: Path, device: str) -> Check:
    structure = check_structure(source.atomic_numbers)
    archive = Model(Archive.load(out, device), device).compute([structure], grid="0")[0].energy
    if source.reference is not None:
        found = source.reference(structure)
        return Check(archive, found, "the code that trained it", len(structure.numbers))
    found = _eager_energy(source, structure)
    return Check(archive, found, "the network in float64", len(structure.numbers))


def check_structure(atomic_numbers: list[int], n_atoms: int = 24) -> Structure:
    """A small periodic structure with every species and no atoms on top of each other."""
    rng = np.random.default_rng(0)
    repeats = -(-n_atoms // len(atomic_numbers))
    numbers = np.array((list(atomic_numbers) * repeats)[: max(n_atoms, len(atomic_numbers))])
    side = int(np.ceil(len(numbers) ** (1 / 3)))
    sites = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = 2.0 * sites[: len(numbers)] + rng.uniform(-0.5, 0.5, (len(numbers), 3))
    return Structure(numbers, positions, 2.0 * side * np.eye(3), (True, True, True))


def _eager_energy(source: Source, structure: Structure) -> float:
    """Energy (eV) by the network as Python code, in float64."""
    potential = SymmetrizedPotential(
        source.build(torch.float64),
        source.hypers,
        torch.float64,
        source.atomic_numbers,
        source.scale,
        source.composition,
        source.zbl_radii,
    )
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
