"""Build one water molecule, or a box of water molecules at a given density."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import BaseCalculator
from ase.io import read, write
from ase.optimize import FIRE
from scipy.spatial.transform import Rotation

from pet_driver.errors import PetDriverError

MASS = 18.01528  # u, of one molecule
TOLERANCE = 2.0  # A, smallest distance between atoms of different molecules in packmol
LARGEST_SEED = 2**31 - 2  # that packmol accepts


def water_molecule(vacuum: float = 100.0) -> Atoms:
    """Build one molecule in the middle of a periodic cube with edges of ``vacuum`` (A).

    Raises:
        PetDriverError: ``vacuum`` is not positive and finite.
    """
    if not 0.0 < vacuum < math.inf:
        raise PetDriverError(f"vacuum {vacuum} A: it must be positive and finite")
    water = molecule("H2O")
    water.set_cell([vacuum] * 3)
    water.center()
    water.pbc = True
    return water


def box_length(n_molecules: int, density: float) -> float:
    """Return the edge (A) of a cube of water at a density (g/cm^3).

    Raises:
        PetDriverError: the number of molecules or the density is not positive.
    """
    if n_molecules < 1:
        raise PetDriverError(f"{n_molecules} molecules: give at least 1")
    if not density > 0.0:
        raise PetDriverError(f"density {density} g/cm^3: it must be positive")
    mass = n_molecules * MASS * units._amu * 1e3  # g
    return float((mass / density) ** (1 / 3) * 1e8)


def liquid(n_molecules: int, density: float = 0.997, seed: int = 0) -> Atoms:
    """Build a periodic cube of randomly oriented molecules.

    packmol places the molecules if it is installed (extra ``build``); otherwise they are put on
    sites of a cubic lattice. Neither is an equilibrated liquid: relax, heat and equilibrate it.

    Args:
        n_molecules: number of molecules.
        density: density in g/cm^3.
        seed: seed of positions and orientations.

    Returns:
        Unwrapped molecules in the order O H H.

    Raises:
        PetDriverError: the number of molecules or the density is not positive, or packmol cannot
            reach the density.
    """
    length = box_length(n_molecules, density)
    program = shutil.which("packmol", path=Path(sys.executable).parent) or shutil.which("packmol")
    if program is None:
        return place_on_lattice(n_molecules, length, seed)
    return pack_with_packmol(program, n_molecules, length, seed)


def place_on_lattice(n_molecules: int, length: float, seed: int) -> Atoms:
    """Place randomly oriented molecules on random sites of a cubic lattice."""
    random = np.random.default_rng(seed)
    n_side = int(np.ceil(round(n_molecules ** (1 / 3), 9)))
    sites = np.stack(np.meshgrid(*[np.arange(n_side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = sites[np.sort(random.permutation(len(sites))[:n_molecules])]
    centers = (sites + 0.5) * length / n_side
    shape = molecule("H2O").positions
    shape = shape - shape[0]
    rotated = np.stack([r.apply(shape) for r in Rotation.random(n_molecules, random_state=random)])
    positions = centers[:, None] + rotated
    return Atoms("OHH" * n_molecules, positions.reshape(-1, 3), cell=[length] * 3, pbc=True)


def pack_with_packmol(program: str, n_molecules: int, length: float, seed: int) -> Atoms:
    """Place molecules in a periodic cube with packmol.

    Raises:
        PetDriverError: packmol failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "water.xyz", molecule("H2O"), format="xyz")
        recipe = (
            f"tolerance {TOLERANCE}\nfiletype xyz\noutput box.xyz\nseed {seed % LARGEST_SEED + 1}\n"
            f"pbc {length:.8f} {length:.8f} {length:.8f}\n"
            f"structure water.xyz\n  number {n_molecules}\n"
            f"  inside cube 0. 0. 0. {length:.8f}\nend structure\n"
        )
        (Path(folder) / "recipe.inp").write_text(recipe)
        with open(Path(folder) / "recipe.inp") as handle:  # packmol rewinds it: no pipe
            done = subprocess.run(
                [program], stdin=handle, capture_output=True, text=True, cwd=folder, check=False
            )
        result = Path(folder) / "box.xyz"
        if "Success!" not in done.stdout or not result.is_file():
            raise PetDriverError(
                f"packmol could not place {n_molecules} molecules in a cube of {length:.2f} A; "
                f"choose a lower density. It ended with: {done.stdout.strip()[-300:]}"
            )
        box = Atoms(read(result, format="xyz"))
    box.set_cell([length] * 3)
    box.pbc = True
    return box


def relax(atoms: Atoms, calculator: BaseCalculator, fmax: float = 0.5, steps: int = 200) -> Atoms:
    """Return a copy relaxed by FIRE until all forces are below ``fmax``.

    Warns if the forces are still larger after ``steps`` steps.

    Args:
        atoms: starting structure.
        calculator: calculator that gives the forces.
        fmax: largest force in eV/A.
        steps: largest number of steps.
    """
    relaxed = atoms.copy()
    relaxed.calc = calculator
    if not FIRE(relaxed, logfile=None).run(fmax=fmax, steps=steps):
        left = np.linalg.norm(relaxed.get_forces(), axis=1).max()
        warnings.warn(
            f"the largest force is {left:.2g} eV/A after {steps} relaxation steps, above {fmax:g}: "
            "relax further, or heat slowly",
            stacklevel=2,
        )
    relaxed.calc = None
    return relaxed
