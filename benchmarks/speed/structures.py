"""Water: one molecule and boxes of liquid, and what they look like a step later.

The box of 192 atoms is the one that the input files begin from; that of 648 stands beside this file, and
larger ones repeat it. Both are equilibrated liquids, so every size has the same number of
neighbours an atom and the times of two sizes can be compared.
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
STEP = 0.01  # A, how far atoms move along each axis from one evaluation to the next


def water(n_atoms: int) -> Atoms:
    """One molecule in a large periodic box (3 atoms), or a box of liquid of one of ``SIZES``."""
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
    """The structure at evaluation ``index``: every atom is a little displaced, so that nobody has
    seen it before and the number of edges changes, as it does in molecular dynamics."""
    random = np.random.default_rng(index)
    positions = atoms.positions + STEP * random.normal(size=atoms.positions.shape)
    return Frame(atoms.numbers, positions, np.array(atoms.cell), bool(atoms.pbc.all()))


class Frames:
    """``frame(atoms, index)``, made once for all contenders."""

    def __init__(self, atoms: Atoms) -> None:
        self.atoms = atoms
        self.known: dict[int, Frame] = {}

    def __getitem__(self, index: int) -> Frame:
        if index not in self.known:
            self.known[index] = frame(self.atoms, index)
        return self.known[index]


def plain(atoms: Atoms) -> Frame:
    """The structure as it stands."""
    return Frame(atoms.numbers, atoms.positions, np.array(atoms.cell), bool(atoms.pbc.all()))
