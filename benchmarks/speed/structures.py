"""Structures of the benchmark: a water molecule and boxes of liquid water, slightly displaced.

The box of 192 atoms is that of the input files; the box of 648 atoms is ``water-216.xyz``, and
larger boxes are repetitions of it. Both are equilibrated liquids with the same number of neighbours
per atom, so that the times of different sizes can be compared.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import read

from benchmarks.speed.contenders import Frame

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
SIZES = (192, 648, 1944, 5184)
REPEATS = {648: (1, 1, 1), 1944: (3, 1, 1), 5184: (2, 2, 2)}  # of the box of 648 atoms
STEP = 0.01  # A, standard deviation of the displacements along each axis


def water(n_atoms: int) -> Atoms:
    """Return a molecule in a large periodic box (3 atoms), or a box of one of ``SIZES``."""
    if n_atoms == 3:
        return _one_molecule()
    if n_atoms == 192:
        return read(ROOT / "inputs/structures/water-64.xyz")
    return read(FOLDER / "water-216.xyz").repeat(REPEATS[n_atoms])


def _one_molecule() -> Atoms:
    atoms = molecule("H2O")
    atoms.rotate(40, (1, 2, 3))
    atoms.set_cell([30.0] * 3)
    atoms.pbc = True
    atoms.center()
    return atoms


def frame(atoms: Atoms, index: int) -> Frame:
    """Return the structure of evaluation ``index``, with small random displacements.

    Every structure is new to the contenders and has another number of edges, as in molecular
    dynamics.
    """
    random = np.random.default_rng(index)
    positions = atoms.positions + STEP * random.normal(size=atoms.positions.shape)
    return Frame(atoms.numbers, positions, np.array(atoms.cell), bool(atoms.pbc.all()))


class Frames:
    """Cache of ``frame(atoms, index)``, so that all contenders evaluate the same structures."""

    def __init__(self, atoms: Atoms) -> None:
        self.atoms = atoms
        self.known: dict[int, Frame] = {}

    def __getitem__(self, index: int) -> Frame:
        if index not in self.known:
            self.known[index] = frame(self.atoms, index)
        return self.known[index]


def not_displaced(atoms: Atoms) -> Frame:
    """Return the structure without displacements."""
    return Frame(atoms.numbers, atoms.positions, np.array(atoms.cell), bool(atoms.pbc.all()))
