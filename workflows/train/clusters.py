"""Compute small water clusters at revPBE0-D3, as training data between molecule and liquid.

    pip install pyscf dftd3
    python workflows/train/clusters.py --split results/train/water-small/split -o water-clusters.xyz

A model trained on single molecules and the liquid has seen neither two molecules in vacuum nor two
that are pressed together. The frames here are clusters of gas-phase molecules of the training set,

    E(cluster) = sum of E(molecule, data) + [E(cluster) - sum of E(molecule)], both from PySCF,

so they are on the energy scale of the data, and the energy of a molecule far from all others is
that in the data. The interaction is all-electron revPBE0-D3 (zero damping) in def2-TZVPD.
An interrupted computation resumes with the same command.
"""

from __future__ import annotations

import functools
import multiprocessing
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Annotated

import ase.io
import numpy as np
import typer
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import get_distances
from scipy.spatial.transform import Rotation
from tqdm import tqdm

FUNCTIONAL = "0.25*HF+0.75*GGA_X_PBE_R,GGA_C_PBE"  # revPBE0
DISPERSION = "revpbe0"
BASIS = "def2-TZVPD"  # its diffuse functions keep the superposition error small
MOLECULES = 60  # number of different molecules that clusters are built from
# Smallest distance (A) between atoms of different molecules, by the number of H atoms of the pair.
CLOSEST = (1.7, 1.1, 1.0)
LARGEST_INTERACTION = 8.0  # eV
LARGEST_FORCE = 30.0  # eV/A
SEED = 1


@dataclass(frozen=True)
class Surface:
    """Energy (eV) and forces (eV/A) of a structure."""

    energy: float
    forces: np.ndarray


def generate(
    split: Annotated[Path, typer.Option(help="folder with liquid- and molecule-train.xyz")],
    output: Annotated[Path, typer.Option("--output", "-o", help="extended XYZ")],
    frames: Annotated[int, typer.Option(help="number of frames in the file")] = 300,
    pairs: Annotated[
        bool, typer.Option(help="only pairs, no clusters cut from the liquid")
    ] = False,
    first: Annotated[int, typer.Option(help="number of the first cluster, in a new file")] = 0,
    workers: Annotated[int, typer.Option(help="processes of one thread each")] = 2,
) -> None:
    """Write clusters with energies and forces to an extended XYZ file."""
    molecules = ase.io.read(split / "molecule-train.xyz", f":{MOLECULES}")
    liquid = ase.io.read(split / "liquid-train.xyz", ":")
    done = ase.io.read(output, ":") if output.is_file() else []
    start = 1 + max((frame.info["index"] for frame in done), default=first - 1)
    missing = frames - len(done)
    with (
        multiprocessing.Pool(workers, _prepare, (molecules, liquid)) as pool,
        tqdm(total=frames, initial=len(done)) as bar,
    ):
        # Pairs have even numbers, so that a cluster's number says what it is in any file.
        numbers = count(start + start % 2, 2) if pairs else count(start)
        found = (frame for frame in pool.imap(_labelled, numbers) if frame is not None)
        for frame in islice(found, missing):
            ase.io.write(output, frame, format="extxyz", append=True)
            bar.update()
        pool.terminate()


def _prepare(molecules: list[Atoms], liquid: list[Atoms]) -> None:
    """Set the molecules and the liquid of a worker process."""
    global _molecules, _liquid
    _molecules, _liquid = molecules, liquid


def _labelled(index: int) -> Atoms | None:
    """Return cluster number ``index`` with energy and forces.

    None if atoms are too close, the energy or a force is too large, or the electrons do not
    converge.
    """
    rng = np.random.default_rng([SEED, index])
    cluster, chosen, rotations = cut(rng) if index % 2 else pair(rng)
    if closest(cluster) < 0:
        return None
    total = surface(cluster)
    alone = [_molecule_surface(k) for k in chosen]
    if total is None or None in alone:
        return None
    interaction = total.energy - sum(one.energy for one in alone)
    known = [_molecules[k] for k in chosen]
    energy = interaction + sum(one.get_potential_energy() for one in known)
    correction = [
        rotation.apply(one.get_forces() - at.forces)
        for rotation, one, at in zip(rotations, known, alone, strict=True)
    ]
    forces = total.forces + np.concatenate(correction)
    if interaction > LARGEST_INTERACTION or np.abs(forces).max() > LARGEST_FORCE:
        return None
    cluster.info = {"index": index, "interaction": round(interaction, 5)}
    cluster.calc = SinglePointCalculator(cluster, energy=energy, forces=forces)
    return cluster


def pair(rng: np.random.Generator) -> tuple[Atoms, list[int], list[Rotation]]:
    """Return two randomly oriented molecules 1.7 to 5.5 A apart, in half of all cases with the
    hydrogen of one directed at the oxygen of the other."""
    chosen = rng.integers(len(_molecules), size=2).tolist()
    rotations = [Rotation.random(rng=rng), Rotation.random(rng=rng)]
    distance = rng.uniform(1.7, 5.5)
    towards = rng.normal(size=3)
    if rng.random() < 0.5:
        distance = rng.uniform(2.3, 4.5)
        hydrogen = rotations[0].apply(_molecules[chosen[0]].positions[1:2] - _oxygen(chosen[0]))[0]
        towards = hydrogen / np.linalg.norm(hydrogen) + rng.normal(scale=0.15, size=3)
    place = distance * towards / np.linalg.norm(towards)
    return assemble(chosen, rotations, np.array([np.zeros(3), place])), chosen, rotations


def cut(rng: np.random.Generator) -> tuple[Atoms, list[int], list[Rotation]]:
    """Return two to four neighbouring molecules of the liquid, their distances scaled or not."""
    size = int(rng.choice([2, 3, 3, 4]))
    chosen = rng.integers(len(_molecules), size=size).tolist()
    frame = _liquid[rng.integers(len(_liquid))]
    oxygens = frame.positions[::3]
    first = rng.integers(len(oxygens))
    vectors, lengths = get_distances(oxygens[first], oxygens, cell=frame.cell, pbc=True)
    near = np.argsort(lengths[0])[: 2 * size]  # not always the nearest ones
    near = [near[0], *rng.choice(near[1:], size - 1, replace=False)]
    scale = 1.0 if rng.random() < 0.5 else rng.uniform(0.75, 1.4)
    rotations = [
        Rotation.align_vectors(arms(frame, m), _molecules[k].positions[1:] - _oxygen(k))[0]
        for m, k in zip(near, chosen, strict=True)
    ]
    return assemble(chosen, rotations, scale * vectors[0, near]), chosen, rotations


def arms(frame: Atoms, molecule: int) -> np.ndarray:
    """Return the vectors [2, 3] (A) from an oxygen to its two hydrogens.

    These may be in another periodic image, and anywhere in the file.
    """
    oxygen, hydrogens = frame.positions[3 * molecule], frame.positions[frame.numbers == 1]
    vectors, lengths = get_distances(oxygen, hydrogens, cell=frame.cell, pbc=True)
    return vectors[0, np.argsort(lengths[0])[:2]]


def assemble(chosen: list[int], rotations: list[Rotation], places: np.ndarray) -> Atoms:
    """Return rotated molecules whose oxygens are at ``places`` ([n, 3], A)."""
    cluster = Atoms()
    for k, rotation, place in zip(chosen, rotations, places, strict=True):
        one = _molecules[k]
        cluster += Atoms(one.numbers, rotation.apply(one.positions - _oxygen(k)) + place)
    return cluster


def closest(cluster: Atoms) -> float:
    """Return the smallest difference (A) between an intermolecular distance and its lower bound."""
    distances = cluster.get_all_distances()
    hydrogens = (cluster.numbers == 1).astype(int)
    allowed = np.array(CLOSEST)[hydrogens[:, None] + hydrogens]
    molecule = np.arange(len(cluster)) // 3
    other = molecule[:, None] != molecule
    return float((distances - allowed)[other].min())


def surface(atoms: Atoms) -> Surface | None:
    """Compute revPBE0-D3 energy and forces; None if the electrons do not converge."""
    from dftd3.interface import DispersionModel, ZeroDampingParam
    from pyscf import dft, gto, lib

    lib.num_threads(1)
    mol = gto.M(atom=list(zip(atoms.symbols, atoms.positions, strict=True)), basis=BASIS, verbose=0)
    field = dft.RKS(mol).density_fit()
    field.xc = FUNCTIONAL
    field.grids.level = 2
    energy = field.kernel()
    if not field.converged:
        return None
    gradient = field.nuc_grad_method()
    gradient.grid_response = True
    model = DispersionModel(atoms.numbers, atoms.positions / units.Bohr)
    dispersion = model.get_dispersion(ZeroDampingParam(method=DISPERSION), grad=True)
    slope = gradient.kernel() + dispersion["gradient"]
    return Surface(
        float(energy + dispersion["energy"]) * units.Hartree, -slope * units.Hartree / units.Bohr
    )


@functools.cache
def _molecule_surface(k: int) -> Surface | None:
    """Compute energy and forces of molecule ``k`` in its orientation in the data."""
    return surface(_molecules[k])


def _oxygen(k: int) -> np.ndarray:
    """Return the position [3] (A) of the oxygen of molecule ``k``."""
    return _molecules[k].positions[0]


if __name__ == "__main__":
    typer.run(generate)
